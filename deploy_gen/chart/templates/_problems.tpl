{{/* What is wrong with the values, as JSON: one text per problem, which begins with the value. */}}
{{- define "nodeprefetch.problems" -}}
{{- $o := include "nodeprefetch.options" . | fromJson -}}
{{- $checks := .Files.Get "files/checks.yaml" | fromYaml -}}
{{- concat
  (include "nodeprefetch.nameProblems" (list $o $checks) | fromJsonArray)
  (include "nodeprefetch.imageProblems" . | fromJsonArray)
  (include "nodeprefetch.credentialProblems" .Values | fromJsonArray)
  (include "nodeprefetch.missingProblems" (list $o .Values) | fromJsonArray)
  (include "nodeprefetch.listProblems" (list .Values $o $checks) | fromJsonArray)
  (include "nodeprefetch.passedProblems" (list . $o $checks) | fromJsonArray)
| toJson -}}
{{- end -}}

{{/* Problems of the name of the installation: (list $o CHECKS). */}}
{{- define "nodeprefetch.nameProblems" -}}
{{- $o := index . 0 -}}
{{- $checks := index . 1 -}}
{{- $name := $o.name -}}
{{- $problems := list -}}
{{- $reserved := $checks.names.reserved -}}
{{- if $o.isOpenshift -}}{{- $reserved = concat $reserved $checks.names.ocp -}}{{- end -}}
{{- if not (regexMatch $checks.patterns.name $name) -}}
{{- $problems = append $problems (printf "name: invalid name '%s': must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends and next to each '.', at most 253 characters and 63 between dots" $name) -}}
{{- else if has $name $reserved -}}
{{- $problems = append $problems (printf "name: '%s' is reserved: the cluster creates an object of this name in every namespace" $name) -}}
{{- else if gt (len $name) 55 -}}
{{- $problems = append $problems (printf "name: '%s' must not exceed 55 characters, got %d" $name (len $name)) -}}
{{- else if and $o.nodeReadinessRule (gt (len $name) 30) -}}
{{- $problems = append $problems (printf "name: '%s' must not exceed 30 characters with nodeReadinessRule, got %d" $name (len $name)) -}}
{{- else -}}
{{- range $suffix, $purpose := $checks.names.suffixes -}}
{{- if hasSuffix $suffix $name -}}
{{- $problems = append $problems (printf "name: '%s' must not end in %s, which is the name of the %s of '%s'" $name $suffix $purpose (trimSuffix $suffix $name)) -}}
{{- end -}}
{{- end -}}
{{- if and (not $problems) $o.collectMetrics (not (regexMatch $checks.patterns.service $name)) -}}
{{- $problems = append $problems (printf "name: '%s' must begin with a letter and must not contain '.', as collectMetrics creates a Service" $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "nodeprefetch.imageProblems" -}}
{{- $image := default dict .Values.image -}}
{{- $problems := list -}}
{{- if and $image.repository (regexMatch "@|:[^:/]+$" $image.repository) $image.tag -}}
{{- $problems = list "image.tag: cannot be combined with a tag or digest in image.repository" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "nodeprefetch.credentialProblems" -}}
{{- $problems := list -}}
{{- if and .useKubeletImageCredentialIntegration (or .imageCredentialProviderConfig .imageCredentialProviderBinDir) -}}
{{- $problems = append $problems "useKubeletImageCredentialIntegration: cannot be combined with imageCredentialProviderConfig or imageCredentialProviderBinDir" -}}
{{- else if ne (empty .imageCredentialProviderConfig) (empty .imageCredentialProviderBinDir) -}}
{{- $problems = append $problems "imageCredentialProviderConfig and imageCredentialProviderBinDir must be given together" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* Values without another that they need, or with one that they cannot be combined with: (list $o .Values). */}}
{{- define "nodeprefetch.missingProblems" -}}
{{- $o := index . 0 -}}
{{- $v := index . 1 -}}
{{- $problems := list -}}
{{- if not $o.keep -}}
{{- range list "checkEvery" "refreshEvery" "reportEvery" -}}
{{- if get $o . -}}{{- $problems = append $problems (printf "%s: requires keep" .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $o.hasGate -}}
{{- range $name, $isGiven := dict "gateTimeout" $o.gateTimeout "gateNeeds" $o.hasNeeds -}}
{{- if $isGiven -}}
{{- $problems = append $problems (printf "%s: requires nodeCondition, removeStartupTaints or nodeReadinessRule" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $o.collectMetrics -}}
{{- range list "aggregateArgs" "expose" "persist" "serviceMonitor" "grafanaDashboard" -}}
{{- if get $v . -}}{{- $problems = append $problems (printf "%s: requires collectMetrics" .) -}}{{- end -}}
{{- end -}}
{{- if $o.limitsPulls -}}{{- $problems = append $problems "pullingNodes: requires collectMetrics" -}}{{- end -}}
{{- end -}}
{{- if and $v.growth (not $o.limitsPulls) -}}
{{- $problems = append $problems "growth: requires pullingNodes" -}}
{{- end -}}
{{- if and (eq $o.spread "auto") (not $o.registryRate) -}}
{{- $problems = append $problems "spread: auto requires registryRate" -}}
{{- else if and $o.registryRate (ne $o.spread "auto") -}}
{{- $problems = append $problems "registryRate: requires spread auto" -}}
{{- end -}}
{{- if and $o.onceFor $o.keep -}}
{{- $problems = append $problems "onceFor: cannot be combined with keep: a node looks for the pods once, and would keep images for pods that have moved, and none for those that come later" -}}
{{- end -}}
{{- if and $o.onceFor $o.hasGate -}}
{{- $problems = append $problems "onceFor: cannot be combined with nodeCondition, removeStartupTaints or nodeReadinessRule: a new node, which takes no pods yet, would never pull, and stay closed" -}}
{{- end -}}
{{- if and $o.startupTaints $o.acts -}}
{{- $problems = append $problems "removeStartupTaints: cannot be combined with nodeAccess impersonate, as Kubernetes does not let nodes remove their taints (use nodeReadinessRule)" -}}
{{- end -}}
{{- if ne (get $o.nodeSelector "kubernetes.io/os") "linux" -}}
{{- $problems = append $problems "nodeSelector: conflicting values for kubernetes.io/os: a node has only one" -}}
{{- end -}}
{{- range $name := list "checkEvery" "refreshEvery" "reportEvery" "spread" "gateTimeout" -}}
{{- with include "nodeprefetch.tooLong" (get $o $name) -}}
{{- $problems = append $problems (printf "%s: %s" $name .) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
