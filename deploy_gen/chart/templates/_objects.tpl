{{/* What objects share. Those that belong to a component take (list $o COMPONENT). */}}

{{/* Name of an object without a namespace, or in another one: (list $o PURPOSE). */}}
{{- define "nodeprefetch.clusterName" -}}
{{- $o := index . 0 -}}
nodeprefetch.{{ $o.namespace }}.{{ $o.name }}.{{ index . 1 }}
{{- end -}}

{{/* Labels that only pods of this component have. */}}
{{- define "nodeprefetch.selector" -}}
{{- $o := index . 0 -}}
app.kubernetes.io/name: nodeprefetch
app.kubernetes.io/instance: {{ $o.name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "nodeprefetch.labels" -}}
{{- $o := index . 0 -}}
{{- include "nodeprefetch.selector" . }}
app.kubernetes.io/part-of: nodeprefetch
app.kubernetes.io/managed-by: {{ $o.managedBy }}
{{- if regexMatch "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" $o.tag }}
app.kubernetes.io/version: {{ $o.tag | quote }}
{{- end -}}
{{- end -}}

{{/* Binds a role to an account: (list $o COMPONENT ACCOUNT KIND NAME NAMESPACE); an empty namespace for ClusterRole. */}}
{{- define "nodeprefetch.binding" -}}
{{- $o := index . 0 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ index . 3 }}Binding
metadata:
  name: {{ index . 4 | quote }}
  {{- with index . 5 }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "nodeprefetch.labels" (list $o (index . 1)) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 3 }}
  name: {{ index . 4 | quote }}
subjects:
  {{- if and (eq (index . 1) "fetch") $o.restrictNodeAccess }}
  # As the policy names it: whoever changes the namespace of one must change the other.
  - kind: User
    apiGroup: rbac.authorization.k8s.io
    name: {{ printf "system:serviceaccount:%s:%s" $o.namespace $o.name | quote }}
  {{- else }}
  - kind: ServiceAccount
    name: {{ index . 2 | quote }}
    namespace: {{ $o.namespace | quote }}
  {{- end }}
{{- end -}}

{{/* Metadata of a role: (list $o COMPONENT NAME NAMESPACE). */}}
{{- define "nodeprefetch.role" -}}
{{- $o := index . 0 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne (index . 3) "") }}
metadata:
  name: {{ index . 2 | quote }}
  {{- with index . 3 }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "nodeprefetch.labels" (list $o (index . 1)) | nindent 4 }}
{{- end -}}

{{/* An account, whose token is mounted only where a pod asks for it: (list $o COMPONENT NAME). */}}
{{- define "nodeprefetch.serviceAccount" -}}
{{- $o := index . 0 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ index . 2 | quote }}
  namespace: {{ $o.namespace | quote }}
  labels:
    {{- include "nodeprefetch.labels" (list $o (index . 1)) | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}

{{/* The volume that automountServiceAccountToken would mount into all containers, for one of them. */}}
{{- define "nodeprefetch.apiTokenVolume" -}}
name: api-token
projected:
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3600
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              apiVersion: v1
              fieldPath: metadata.namespace
{{- end -}}

{{- define "nodeprefetch.pullSecrets" -}}
{{- with .imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Arguments of a container, in which the kubelet would replace $(NAME); from JSON. */}}
{{- define "nodeprefetch.args" -}}
{{- $escaped := list -}}
{{- range fromJsonArray . -}}
{{- $escaped = append $escaped (replace "$" "$$" .) -}}
{{- end -}}
{{- toYaml $escaped -}}
{{- end -}}
