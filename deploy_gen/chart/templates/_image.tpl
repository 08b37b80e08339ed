{{/* Reference and tag of the nodeprefetch image, as JSON. The tag is empty if the image is known by its digest only. */}}
{{- define "nodeprefetch.image" -}}
{{- $v := .Values -}}
{{- $image := default dict $v.image -}}
{{- $repository := default "ghcr.io/nodeprefetch/nodeprefetch" $image.repository -}}
{{- $tag := default "" $image.tag -}}
{{- $tagOfRepository := regexFind ":[^:/@]+(@|$)" $repository | trimAll ":@" -}}
{{- if or $tagOfRepository (contains "@" $repository) -}}
{{- dict "reference" $repository "tag" $tagOfRepository | toJson -}}
{{- else if contains "@" $tag -}}
{{- dict "reference" (printf "%s:%s" $repository $tag) "tag" (regexFind "^[^@]*" $tag) | toJson -}}
{{- else -}}
{{- $tag = include "nodeprefetch.tagOfVersion" (default .Chart.AppVersion $tag) -}}
{{- if or $v.useKubeletImageCredentialIntegration $v.imageCredentialProviderConfig $v.imageCredentialProviderBinDir -}}
{{- $tag = printf "%s-distro" $tag -}}
{{- end -}}
{{- dict "reference" (printf "%s:%s" $repository $tag) "tag" $tag | toJson -}}
{{- end -}}
{{- end -}}

{{/* The tag of a version: of a Go pseudo-version, `sha-` and seven digits of its commit. */}}
{{- define "nodeprefetch.tagOfVersion" -}}
{{- if regexMatch "^v[0-9]+\\.[0-9]+\\.[0-9]+-[0-9]+\\.[0-9]+-[a-f0-9]{7,}$" . -}}
sha-{{ regexFind "[a-f0-9]*$" . | trunc 7 }}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}
