{{/* Seconds of a duration in Go's notation, rounded up; 0 if it is invalid. Dates are what can add durations. */}}
{{- define "nodeprefetch.seconds" -}}
{{- $start := toDate "2006-01-02" "1970-01-01" -}}
{{- $end := $start | dateModify (toString .) | dateModify "999999999ns" -}}
{{- sub (unixEpoch $end | int64) (unixEpoch $start | int64) -}}
{{- end -}}

{{/* Why a valid duration is too long: dates do not count that far. Empty if it is not. */}}
{{- define "nodeprefetch.tooLong" -}}
{{- if and (regexMatch "[1-9]" .) (eq (include "nodeprefetch.seconds" .) "0") -}}
invalid duration '{{ . }}': must not exceed 292 years
{{- end -}}
{{- end -}}

{{/* A number of seconds in its largest whole unit, as Prometheus writes it. */}}
{{- define "nodeprefetch.duration" -}}
{{- $seconds := int64 . -}}
{{- if eq (mod $seconds 3600) 0 -}}
{{ div $seconds 3600 }}h
{{- else if eq (mod $seconds 60) 0 -}}
{{ div $seconds 60 }}m
{{- else -}}
{{ $seconds }}s
{{- end -}}
{{- end -}}

{{/* The values of a flag among arguments, as JSON: (list FLAG ARGUMENTS). */}}
{{- define "nodeprefetch.valuesOf" -}}
{{- $flag := index . 0 -}}
{{- $arguments := default list (index . 1) -}}
{{- $values := list -}}
{{- range $number, $argument := $arguments -}}
{{- $parts := splitn "=" 2 $argument -}}
{{- if eq ($parts._0 | replace "_" "-") $flag -}}
{{- if contains "=" $argument -}}
{{- $values = append $values $parts._1 -}}
{{- else if lt (add1 $number) (len $arguments) -}}
{{- $values = append $values (index $arguments (add1 $number)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $values -}}
{{- end -}}

{{/* Seconds that a fetch pod needs from SIGTERM to its exit: --report-grace, and some for the rest. */}}
{{- define "nodeprefetch.terminationGrace" -}}
{{- $report := 15 -}}
{{- range include "nodeprefetch.valuesOf" (list "--report-grace" .) | fromJsonArray -}}
{{- $report = include "nodeprefetch.seconds" . | int64 -}}
{{- end -}}
{{- add $report 15 -}}
{{- end -}}

{{/* Seconds that a run may take. */}}
{{- define "nodeprefetch.overallTimeout" -}}
{{- $given := include "nodeprefetch.valuesOf" (list "--overall-timeout" .) | fromJsonArray -}}
{{- $longest := ternary 0 1200 (gt (len $given) 0) -}}
{{- range $given -}}
{{- $longest = max $longest (include "nodeprefetch.seconds" . | int64) -}}
{{- end -}}
{{- $longest -}}
{{- end -}}
