{{/* The container that pulls, but for its name and probe. */}}
{{- define "nodeprefetch.puller" -}}
{{- $o := . -}}
image: {{ $o.image | quote }}
args:
  {{- include "nodeprefetch.args" (include "nodeprefetch.pullerArgs" .) | nindent 2 }}
env:
  - name: NODE_NAME
    valueFrom:
      fieldRef:
        fieldPath: spec.nodeName
  - name: INSTANCE_NAME
    value: {{ $o.name | quote }}
resources:
  requests:
    cpu: 20m
    memory: 48Mi
  limits:
    memory: 256Mi
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: ["ALL"]
  readOnlyRootFilesystem: true
  runAsUser: 0
  runAsGroup: 0
  {{- with $o.selinuxType }}
  seLinuxOptions:
    type: {{ . | quote }}
  {{- end }}
volumeMounts:
  - name: cri-socket-dir
    mountPath: /run/nodeprefetch/cri
    readOnly: true
  {{- if $o.crioDownloadDir }}
  - name: crio-downloads
    mountPath: /run/nodeprefetch/crio-downloads
    readOnly: true
  {{- end }}
  - name: image-list
    mountPath: /etc/nodeprefetch/list
    readOnly: true
  - name: api-token
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  {{- if $o.collectMetrics }}
  - name: metrics-token
    mountPath: /var/run/secrets/nodeprefetch
    readOnly: true
  {{- end }}
  {{- range $number, $secret := $o.secrets }}
  - name: pull-secret-{{ $number }}
    mountPath: {{ printf "/etc/nodeprefetch/pull-secrets/%s" $secret | quote }}
    readOnly: true
  {{- end }}
  {{- range include "nodeprefetch.credentialPaths" $o | fromJsonArray }}
  - name: {{ .name }}
    mountPath: {{ .path | quote }}
    readOnly: true
  {{- end }}
  {{- if $o.hasGate }}
  - name: gate
    mountPath: /var/lib/nodeprefetch/gate
  {{- end }}
{{- end -}}

{{/* Its arguments, as JSON. */}}
{{- define "nodeprefetch.pullerArgs" -}}
{{- $o := . -}}
{{- $args := list "fetch" -}}
{{- if $o.keep -}}
{{- $args = list "keep" (printf "--ready-address=%s:28460" (include "nodeprefetch.readyHost" $o)) -}}
{{- range $flag, $interval := dict "check" $o.checkEvery "refresh" $o.refreshEvery "report" $o.reportEvery -}}
{{- with $interval -}}{{- $args = append $args (printf "--%s-every=%s" $flag .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $args = concat $args (list
  "--image-list-file=/etc/nodeprefetch/list/images.txt"
  (printf "--cri-socket=/run/nodeprefetch/cri/%s" (base $o.criSocket))
  (printf "--node-label-prefix=%s" $o.nodeLabelPrefix)) -}}
{{- if $o.acts -}}{{- $args = append $args "--node-access=impersonate" -}}{{- end -}}
{{- with $o.onceFor -}}{{- $args = append $args (printf "--for-pods=%s" .text) -}}{{- end -}}
{{- $args = concat $args (include "nodeprefetch.gateArgs" $o | fromJsonArray) -}}
{{- range $o.secrets -}}
{{- $args = append $args (printf "--docker-config=/etc/nodeprefetch/pull-secrets/%s" .) -}}
{{- end -}}
{{- with $o.credentials -}}
{{- $args = append $args (printf "--image-credential-provider-config=%s" .config) -}}
{{- $args = append $args (printf "--image-credential-provider-bin-dir=%s" .bin_dir) -}}
{{- end -}}
{{- if $o.collectMetrics -}}
{{- $args = append $args (printf "--metrics-endpoint=%s:8443" $o.metricsName) -}}
{{- $args = append $args "--metrics-token-file=/var/run/secrets/nodeprefetch/token" -}}
{{- end -}}
{{- if $o.limitsPulls -}}{{- $args = append $args "--tickets" -}}{{- end -}}
{{- with $o.spread -}}{{- $args = append $args (printf "--spread=%s" .) -}}{{- end -}}
{{- with $o.registryRate -}}{{- $args = append $args (printf "--registry-rate=%s" .) -}}{{- end -}}
{{- if not $o.events -}}{{- $args = append $args "--no-events" -}}{{- end -}}
{{- if $o.allowFailures -}}{{- $args = append $args "--allow-failures" -}}{{- end -}}
{{- concat $args $o.fetchArgs | toJson -}}
{{- end -}}

{{/* Arguments about new nodes, as JSON. */}}
{{- define "nodeprefetch.gateArgs" -}}
{{- $args := list -}}
{{- if .hasGate -}}
{{- if .nodeCondition -}}{{- $args = append $args "--node-condition" -}}{{- end -}}
{{- range .startupTaints -}}{{- $args = append $args (printf "--remove-taint=%s" .text) -}}{{- end -}}
{{- $args = append $args "--gate-file=/var/lib/nodeprefetch/gate/first-run" -}}
{{- with .gateTimeout -}}{{- $args = append $args (printf "--gate-timeout=%s" .) -}}{{- end -}}
{{- if .hasNeeds -}}{{- $args = append $args "--gate-needs=/etc/nodeprefetch/list/gate-needs.txt" -}}{{- end -}}
{{- end -}}
{{- toJson $args -}}
{{- end -}}

{{/*
The address on which `keep` says that its node is ready. In the node's network it is on loopback, one for each
installation, made of a digest; 127.0.*.* and the last address are left to others. Otherwise the pod has its own: empty.
*/}}
{{- define "nodeprefetch.readyHost" -}}
{{- if .hostNetwork -}}
{{- $digest := printf "%s/%s" .namespace .name | sha256sum -}}
{{- $first := printf "0x%s" (substr 0 2 $digest) | int64 -}}
{{- $second := printf "0x%s" (substr 2 4 $digest) | int64 -}}
{{- $third := printf "0x%s" (substr 4 6 $digest) | int64 -}}
{{- printf "127.%d.%d.%d" (mod $first 254 | add1) $second (mod $third 254 | add1) -}}
{{- end -}}
{{- end -}}

{{/* Name, path and type of what is mounted of the node's credential providers, without what is in a directory of it. */}}
{{- define "nodeprefetch.credentialPaths" -}}
{{- $found := list -}}
{{- with .credentials -}}
{{- $type := regexMatch "[^/]\\.(json|yaml|yml)$" .config | ternary "File" "Directory" -}}
{{- $wanted := list
  (dict "name" "credential-provider-bin" "path" .bin_dir "type" "Directory")
  (dict "name" "credential-provider-config" "path" .config "type" $type) -}}
{{- range $number, $file := .files -}}
{{- $wanted = append $wanted (dict "name" (printf "credential-provider-file-%d" $number) "path" $file "type" "File") -}}
{{- end -}}
{{- $paths := list -}}
{{- range $one := $wanted -}}
{{- $isInside := has $one.path $paths -}}
{{- range $other := $wanted -}}
{{- if and (eq $other.type "Directory") (hasPrefix (printf "%s/" $other.path) $one.path) -}}
{{- $isInside = true -}}
{{- end -}}
{{- end -}}
{{- if not $isInside -}}
{{- $found = append $found $one -}}
{{- $paths = append $paths $one.path -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
