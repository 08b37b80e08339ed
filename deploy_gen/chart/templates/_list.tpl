{{/* The text of a list, which is a list of names or a text already. */}}
{{- define "nodeprefetch.listText" -}}
{{- if kindIs "slice" . -}}
{{- range . }}{{ . }}{{ "\n" }}{{ end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Problems of the lists of images: (list .Values $o CHECKS). */}}
{{- define "nodeprefetch.listProblems" -}}
{{- $v := index . 0 -}}
{{- $o := index . 1 -}}
{{- $checks := index . 2 -}}
{{- $problems := list -}}
{{- $images := include "nodeprefetch.listText" $v.images -}}
{{- $needs := include "nodeprefetch.listText" $v.gateNeeds -}}
{{- if $o.hasImages -}}
{{- $problems = include "nodeprefetch.textProblems" (list "images" $images $checks) | fromJsonArray -}}
{{- end -}}
{{- if $o.hasNeeds -}}
{{- if not $o.hasImages -}}
{{- $problems = append $problems "gateNeeds: requires images, as both lists are in one ConfigMap" -}}
{{- else if not $problems -}}
{{- $problems = include "nodeprefetch.textProblems" (list "gateNeeds" $needs $checks) | fromJsonArray -}}
{{- if not $problems -}}
{{- $problems = include "nodeprefetch.notListed" (list $images $needs $checks) | fromJsonArray -}}
{{- end -}}
{{- if and (not $problems) (gt (add (len $images) (len $needs) (len "gate-needs.txt")) 1048566) -}}
{{- $problems = list "gateNeeds: must not be longer than 1048566 bytes together with images, as both are in one ConfigMap" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* Problems of one list: (list VALUE TEXT CHECKS). */}}
{{- define "nodeprefetch.textProblems" -}}
{{- $value := index . 0 -}}
{{- $text := index . 1 -}}
{{- $checks := index . 2 -}}
{{- $problems := list -}}
{{- if gt (len $text) 1048566 -}}
{{- $problems = list (printf "%s: must not be longer than 1048566 bytes, which is what a ConfigMap can hold" $value) -}}
{{- else if contains "\x00" $text -}}
{{- $problems = list (printf "%s: contains a NUL byte (not a text file?)" $value) -}}
{{- else if not (include "nodeprefetch.isPlainList" (list $text $checks)) -}}
{{- $names := include "nodeprefetch.imageNames" $text | fromJsonArray -}}
{{- if not $names -}}
{{- $problems = list (printf "%s: contains no images" $value) -}}
{{- end -}}
{{- range $names -}}
{{- if or (not (regexMatch $checks.patterns.image .name)) (regexMatch $checks.patterns.id .name) -}}
{{- $problems = append $problems (printf "%s:%d: invalid image name '%s'" $value (int .line) .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if gt (len $problems) 50 -}}
{{- $problems = append (slice $problems 0 50) (printf "… and %d more" (sub (len $problems) 50)) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/*
Whether a text has images and comments alone; empty if it may not: (list TEXT CHECKS). Its lines need not be looked at one
by one then, which takes seconds for thousands.
*/}}
{{- define "nodeprefetch.isPlainList" -}}
{{- $text := index . 0 -}}
{{- $patterns := (index . 1).patterns -}}
{{- if and (regexMatch $patterns.plainList $text) (regexMatch "(?m)^[^\\s#]" $text) (not (regexMatch (printf "(?m)%s" $patterns.id) $text)) -}}
true
{{- end -}}
{{- end -}}

{{/* The names in the text of a list, with the numbers of their lines, as JSON: without comments, quotes and list markers. */}}
{{- define "nodeprefetch.imageNames" -}}
{{- $names := list -}}
{{- range $number, $line := trimPrefix "\ufeff" . | splitList "\n" -}}
{{- $name := regexReplaceAll "(^|\\s)#.*$" $line "" | trim -}}
{{- if $name -}}
{{- $name = regexReplaceAll "^(?:[-*]\\s+)*(?:(?:\"image\"|'image')\\s*:\\s*|image:\\s+)?" $name "" -}}
{{- $name = regexReplaceAll "\\s*[,;\\\\]$" $name "" -}}
{{- if regexMatch "^(\"[^\"]*\"|'[^']*')$" $name -}}
{{- $name = substr 1 (sub (len $name) 1 | int) $name | trim -}}
{{- end -}}
{{- $names = append $names (dict "line" (add1 $number) "name" $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* Images that new nodes need but the list does not have: (list IMAGES NEEDS CHECKS). */}}
{{- define "nodeprefetch.notListed" -}}
{{- $images := index . 0 -}}
{{- $checks := index . 2 -}}
{{- $problems := list -}}
{{- $others := list -}}{{/* that are not literally in the list */}}
{{- range include "nodeprefetch.imageNames" (index . 1) | fromJsonArray -}}
{{- if not (regexMatch (printf "(?m)^%s(\\s|$)" (regexQuoteMeta .name)) $images) -}}
{{- $others = append $others . -}}
{{- end -}}
{{- end -}}
{{- $listed := dict -}}
{{- if $others -}}
{{- range include "nodeprefetch.imageNames" $images | fromJsonArray -}}
{{- $_ := set $listed (include "nodeprefetch.fullName" (list .name $checks)) true -}}
{{- end -}}
{{- end -}}
{{- range $others -}}
{{- if not (hasKey $listed (include "nodeprefetch.fullName" (list .name $checks))) -}}
{{- $problems = append $problems (printf "gateNeeds:%d: %s is not in the list of images" (int .line) .name) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* An image's name in full, with registry, and its digest or tag: (list NAME CHECKS). */}}
{{- define "nodeprefetch.fullName" -}}
{{- $name := index . 0 -}}
{{- $digest := regexFind "@.*$" $name -}}
{{- $tagged := trimSuffix $digest $name -}}
{{- $tag := regexFind ":[^:/\\]]+$" $tagged -}}
{{- $repository := regexReplaceAll "^(index\\.)?docker\\.io/" (trimSuffix $tag $tagged) "" -}}
{{- $host := regexFind "^[^/]*" $repository -}}
{{- if not (contains "/" $repository) -}}
{{- $repository = printf "docker.io/library/%s" $repository -}}
{{- else if not (or (eq $host "localhost") (regexMatch "[.:]" $host) (ne $host (lower $host))) -}}
{{- $repository = printf "docker.io/%s" $repository -}}
{{- end -}}
{{- $repository }}{{ default (default ":latest" $tag) $digest }}
{{- end -}}
