{{/*
What the values amount to: the options of the generator (deploy_gen/options.py), by the same names. A template can only
return a text, so this is JSON: {{- $o := include "nodeprefetch.options" . | fromJson -}}
*/}}
{{- define "nodeprefetch.options" -}}
{{- $v := .Values -}}
{{- $platforms := .Files.Get "files/platforms.yaml" | fromYaml -}}
{{- $flavor := default "vanilla" $v.k8sFlavor -}}
{{- $isOpenshift := eq $flavor "ocp" -}}
{{- $name := default .Release.Name $v.name -}}
{{- $prefix := default "nodeprefetch.io" $v.nodeLabelPrefix -}}
{{- $taints := include "nodeprefetch.taints" $v.removeStartupTaints | fromJsonArray -}}
{{- $nodeCondition := or $v.nodeCondition $v.nodeReadinessRule -}}
{{- $hasGate := or $nodeCondition (gt (len $taints) 0) -}}
{{- $credentials := include "nodeprefetch.credentials" (list $v $platforms) | fromJson -}}
{{- $image := include "nodeprefetch.image" . | fromJson -}}
{{- $criSocket := include "nodeprefetch.path" (default (get $platforms.sockets $flavor) $v.criSocket | trimPrefix "unix://") -}}
{{- $downloads := default (ternary $platforms.crioDownloads "" (eq (base $criSocket) $platforms.crioSocket)) $v.crioDownloadDir -}}
{{- if eq $downloads "none" -}}{{- $downloads = "" -}}{{- end -}}
{{- $priorityClass := default (ternary "system-node-critical" "" $hasGate) $v.priorityClass -}}
{{- dict
  "name" $name
  "metricsName" (printf "%s-metrics" $name)
  "readerName" (printf "%s-reader" $name)
  "namespace" .Release.Namespace
  "managedBy" .Release.Service
  "image" $image.reference
  "tag" $image.tag
  "isOpenshift" $isOpenshift
  "criSocket" $criSocket
  "crioDownloadDir" (ternary (include "nodeprefetch.path" $downloads) "" (ne $downloads ""))
  "selinuxType" (default (ternary "spc_t" "" $isOpenshift) $v.selinuxType)
  "secrets" (include "nodeprefetch.each" $v.secrets | fromJsonArray)
  "imagePullSecrets" (include "nodeprefetch.each" $v.imagePullSecrets | fromJsonArray)
  "credentials" $credentials
  "hostNetwork" (or (default false $v.hostNetwork) (default false $credentials.uses_metadata_server))
  "fetchArgs" (default list $v.fetchArgs)
  "nodeLabelPrefix" $prefix
  "nodeKey" (printf "%s/%s" $prefix $name)
  "nodeCondition" (default false $nodeCondition)
  "startupTaints" $taints
  "hasGate" $hasGate
  "hasNeeds" (not (kindIs "invalid" $v.gateNeeds))
  "gateTimeout" (include "nodeprefetch.text" $v.gateTimeout)
  "acts" (eq (default "direct" $v.nodeAccess) "impersonate")
  "events" (not $v.noEvents)
  "terminationGrace" (include "nodeprefetch.terminationGrace" $v.fetchArgs | int64)
  "overallTimeout" (include "nodeprefetch.overallTimeout" $v.fetchArgs | int64)
  "nodeSelector" (mergeOverwrite (dict "kubernetes.io/os" "linux") (default dict $v.nodeSelector))
  "priorityClass" (ternary "" $priorityClass (eq $priorityClass "none"))
  "tolerations" (default list $v.tolerations)
  "noTolerateAll" (default false $v.noTolerateAll)
  "maxUnavailable" (include "nodeprefetch.maxUnavailable" (default "100%" $v.maxUnavailable))
  "hasImages" (not (kindIs "invalid" $v.images))
  "allowFailures" (default false $v.allowFailures)
  "keep" (default false $v.keep)
  "onceFor" (include "nodeprefetch.podSelector" $v.onceFor | fromJson)
  "checkEvery" (default "" $v.checkEvery)
  "refreshEvery" (default "" $v.refreshEvery)
  "reportEvery" (default "" $v.reportEvery)
  "spread" (default "" $v.spread)
  "registryRate" (default "" $v.registryRate)
  "nodeReadinessRule" (default false $v.nodeReadinessRule)
  "restrictNodeAccess" (default false $v.restrictNodeAccess)
  "networkPolicy" (default false $v.networkPolicy)
  "readerRole" (default false $v.readerRole)
  "collectMetrics" (default false $v.collectMetrics)
  "aggregateArgs" (default list $v.aggregateArgs)
  "expose" (default "ClusterIP" $v.expose)
  "persist" (default "" $v.persist)
  "limitsPulls" (ne (include "nodeprefetch.text" $v.pullingNodes) "")
  "growth" (default "fixed" $v.growth)
  "serviceMonitor" (default false $v.serviceMonitor)
  "grafanaDashboard" (default false $v.grafanaDashboard)
| toJson -}}
{{- end -}}

{{/* A value as a text: empty without one, 0 as the number that it may be in YAML. */}}
{{- define "nodeprefetch.text" -}}
{{- if not (kindIs "invalid" .) }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* A number, which Helm may write as 1e+06, or a percentage. */}}
{{- define "nodeprefetch.maxUnavailable" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end -}}
{{- end -}}

{{/* A list without empty members and duplicates, as JSON. */}}
{{- define "nodeprefetch.each" -}}
{{- default list . | compact | uniq | toJson -}}
{{- end -}}

{{/* A path without needless parts, as Python's pathlib writes it. */}}
{{- define "nodeprefetch.path" -}}
{{- clean . -}}
{{- end -}}

{{/* Reads taints, KEY[=VALUE][:EFFECT], as JSON: key, value if there is one, effect, and the text. */}}
{{- define "nodeprefetch.taints" -}}
{{- $taints := list -}}
{{- range include "nodeprefetch.each" . | fromJsonArray -}}
{{- $taints = append $taints (include "nodeprefetch.taint" . | fromJson) -}}
{{- end -}}
{{- $taints | uniq | toJson -}}
{{- end -}}

{{- define "nodeprefetch.taint" -}}
{{- $effect := "" -}}
{{- $rest := . -}}
{{- if contains ":" . -}}
{{- $effect = regexFind "[^:]*$" . -}}
{{- $rest = trimSuffix (printf ":%s" $effect) . -}}
{{- end -}}
{{- $taint := dict "key" (regexFind "^[^=]*" $rest) "effect" $effect "text" . -}}
{{- if contains "=" $rest -}}
{{- $_ := set $taint "value" (regexReplaceAll "^[^=]*=" $rest "") -}}
{{- end -}}
{{- toJson $taint -}}
{{- end -}}

{{/* Pods for which nodes pull, [NAMESPACE/]SELECTOR: namespace (of the installation if empty) and text; empty without any. */}}
{{- define "nodeprefetch.podSelector" -}}
{{- $text := default "" . | trim -}}
{{- $before := regexFind "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/" $text -}}
{{- if $text -}}
{{- dict "namespace" (trimSuffix "/" $before) "text" (trimPrefix $before $text | trim | printf "%s%s" $before) | toJson -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* The kubelet's credential providers, of a cloud or as given; empty without any. */}}
{{- define "nodeprefetch.credentials" -}}
{{- $v := index . 0 -}}
{{- $platforms := index . 1 -}}
{{- if $v.useKubeletImageCredentialIntegration -}}
{{- get $platforms.clouds $v.useKubeletImageCredentialIntegration | default dict | toJson -}}
{{- else if and $v.imageCredentialProviderConfig $v.imageCredentialProviderBinDir -}}
{{- dict
  "config" (include "nodeprefetch.path" $v.imageCredentialProviderConfig)
  "bin_dir" (include "nodeprefetch.path" $v.imageCredentialProviderBinDir)
| toJson -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}
