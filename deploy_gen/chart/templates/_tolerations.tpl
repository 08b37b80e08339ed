{{/*
The tolerations of fetch pods, as JSON. Without one for each startup taint, no pod would ever remove
it. Those of the values are texts, KEY[=VALUE][:EFFECT], or as in a pod.
*/}}
{{- define "nodeprefetch.tolerations" -}}
{{- $o := . -}}
{{- $all := dict "operator" "Exists" -}}
{{- $tolerations := list -}}
{{- range $o.tolerations -}}
{{- if kindIs "map" . -}}
{{- $tolerations = append $tolerations . -}}
{{- else if . -}}
{{- $tolerations = append $tolerations (include "nodeprefetch.toleration" (include "nodeprefetch.taint" . | fromJson) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- if not (or $tolerations $o.noTolerateAll) -}}
{{- $tolerations = list $all -}}
{{- end -}}
{{- if not (has $all $tolerations) -}}
{{- range $o.startupTaints -}}
{{- $tolerations = append $tolerations (include "nodeprefetch.toleration" . | fromJson) -}}
{{- end -}}
{{- if $o.nodeReadinessRule -}}
{{- $tolerations = append $tolerations (dict
  "key" (printf "readiness.k8s.io/nodeprefetch-%s" $o.name) "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- end -}}
{{- $tolerations | uniq | toJson -}}
{{- end -}}

{{- define "nodeprefetch.toleration" -}}
{{- $toleration := dict "operator" (hasKey . "value" | ternary "Equal" "Exists") -}}
{{- with .key -}}{{- $_ := set $toleration "key" . -}}{{- end -}}
{{- with .effect -}}{{- $_ := set $toleration "effect" . -}}{{- end -}}
{{- if hasKey . "value" -}}{{- $_ := set $toleration "value" .value -}}{{- end -}}
{{- toJson $toleration -}}
{{- end -}}
