{{/* Problems of fetchArgs and aggregateArgs: (list $ $o CHECKS). */}}
{{- define "nodeprefetch.passedProblems" -}}
{{- $root := index . 0 -}}
{{- $o := index . 1 -}}
{{- $checks := index . 2 -}}
{{- $version := trimPrefix "v" $root.Chart.AppVersion -}}
{{- $reserved := $checks.fetch.reserved -}}
{{- if $o.collectMetrics -}}{{- $reserved = merge $reserved $checks.withMetrics -}}{{- end -}}
{{- if $o.hasNeeds -}}{{- $reserved = merge $reserved $checks.withNeeds -}}{{- end -}}
{{- $problems := list -}}
{{- range include "nodeprefetch.argumentProblems" (dict
  "arguments" $o.fetchArgs "known" $checks.fetch.known "reserved" $reserved "takesImages" true
  "duration" $checks.patterns.duration "version" $version) | fromJsonArray -}}
{{- $problems = append $problems (printf "fetchArgs: %s" .) -}}
{{- end -}}
{{- if and (not $problems) (gt (int64 $o.terminationGrace) 86415) -}}
{{- $given := include "nodeprefetch.valuesOf" (list "--report-grace" $o.fetchArgs) | fromJsonArray -}}
{{- $problems = append $problems (printf "fetchArgs: --report-grace: must not exceed 24h, got '%s'" (last $given)) -}}
{{- end -}}
{{- range include "nodeprefetch.argumentProblems" (dict
  "arguments" $o.aggregateArgs "known" $checks.aggregate.known "reserved" $checks.aggregate.reserved "takesImages" false
  "duration" $checks.patterns.duration "version" $version) | fromJsonArray -}}
{{- $problems = append $problems (printf "aggregateArgs: %s" .) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/*
What the program in the container would reject of its arguments, or the manifest sets. Takes a dict: arguments, known
(flags with the kind of their values, see deploy_gen/program_flags.py), reserved (flags with what to do instead),
takesImages, duration (a pattern) and version.
*/}}
{{- define "nodeprefetch.argumentProblems" -}}
{{- $command := . -}}
{{- $problems := list -}}
{{- $given := list -}}
{{- $isValue := false -}}{{/* of the flag before it */}}
{{- $onlyImages := false -}}
{{- range $number, $argument := .arguments -}}
{{- if or $onlyImages $isValue -}}
{{- $isValue = false -}}
{{- else if eq $argument "--" -}}
{{- $onlyImages = true -}}
{{- else if hasPrefix "-" $argument -}}
{{- $next := "" -}}
{{- $hasNext := lt (add1 $number) (len $command.arguments) -}}
{{- if $hasNext -}}{{- $next = index $command.arguments (add1 $number) -}}{{- end -}}
{{- $read := include "nodeprefetch.readFlag" (list $command $argument $hasNext $next) | fromJson -}}
{{- $isValue = $read.takesNext -}}
{{- if $read.problem -}}
{{- $problems = append $problems $read.problem -}}
{{- else -}}
{{- if and (has $read.name $given) (not (hasSuffix "…" (get $command.known $read.name))) -}}
{{- $problems = append $problems (printf "%s: must not be given more than once" $read.name) -}}
{{- end -}}
{{- $given = append $given $read.name -}}
{{- end -}}
{{- else if not $command.takesImages -}}
{{- $problems = append $problems (printf "'%s': aggregate takes flags only" $argument) -}}
{{- else if not (regexMatch "^[^\\s\\p{Z}]+$" $argument) -}}
{{- $problems = append $problems (printf "'%s': an image must not be empty or contain whitespace" $argument) -}}
{{- end -}}
{{- end -}}
{{- uniq $problems | toJson -}}
{{- end -}}

{{/* Reads a flag, whose value may be the next argument: name, takesNext and problem. (list COMMAND ARGUMENT HASNEXT NEXT) */}}
{{- define "nodeprefetch.readFlag" -}}
{{- $command := index . 0 -}}
{{- $argument := index . 1 -}}
{{- $hasNext := index . 2 -}}
{{- $next := index . 3 -}}
{{- $flag := regexFind "^[^=]*" $argument -}}
{{- $hasValue := contains "=" $argument -}}
{{- $value := trimPrefix $flag $argument | trimPrefix "=" -}}
{{- $isAlone := regexMatch "^[^\\s\\p{Z}]+$" $flag -}}
{{- $name := regexFind "^[^\\s\\p{Z}]+" $flag -}}
{{- if hasPrefix "--" $name -}}{{- $name = replace "_" "-" $name -}}{{- end -}}
{{- $takesNext := false -}}
{{- $problem := "" -}}
{{- if not (hasKey $command.known $name) -}}
{{- $problem = printf "%s: unknown flag in nodeprefetch %s" $name $command.version -}}
{{- else -}}
{{- $kind := get $command.known $name | trimSuffix "…" -}}
{{- if and $isAlone (not $hasValue) $hasNext -}}
{{- $isFlag := and (hasPrefix "-" $next) (ne $next "-") (not (regexMatch "^[+-]?[0-9]+$" $next)) -}}
{{- $takesNext = ternary (not $isFlag) (has (lower $next) (list "true" "false")) (ne $kind "") -}}
{{- if $takesNext -}}{{- $value = $next -}}{{- end -}}
{{- end -}}
{{- if hasKey $command.reserved $name -}}
{{- $problem = printf "%s: %s" $name (get $command.reserved $name) -}}
{{- else if not $isAlone -}}
{{- $problem = printf "'%s': must not contain a space (write %s)" $argument (include "nodeprefetch.splitArgument" $argument) -}}
{{- else if $kind -}}
{{- if $value -}}
{{- $problem = include "nodeprefetch.valueProblem" (list $command $name $kind $value) -}}
{{- else -}}
{{- $problem = printf "%s: requires a value (write %s=%s)" $name $name $kind -}}
{{- end -}}
{{- else if or $hasValue $value -}}
{{- $problem = printf "%s: takes no value, got '%s' (write %s, or leave it out)" $name $value $name -}}
{{- end -}}
{{- end -}}
{{- dict "name" $name "takesNext" $takesNext "problem" $problem | toJson -}}
{{- end -}}

{{- define "nodeprefetch.valueProblem" -}}
{{- $command := index . 0 -}}
{{- $name := index . 1 -}}
{{- $kind := index . 2 -}}
{{- $value := index . 3 -}}
{{- if and (contains "|" $kind) (not (has $value (splitList "|" $kind))) -}}
{{ $name }}: '{{ $value }}' must be one of {{ $kind | replace "|" ", " }}
{{- else if and (eq $kind "N") (not (regexMatch "^[+-]?[0-9]+$" $value)) -}}
{{ $name }}: '{{ $value }}' must be a whole number
{{- else if eq $kind "DURATION" -}}
{{- if not (regexMatch $command.duration $value) -}}
{{ $name }}: invalid duration '{{ $value }}' (expected e.g. 1m30s or 45s)
{{- else -}}
{{- with include "nodeprefetch.tooLong" $value }}{{ $name }}: {{ . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Splits an argument that has several flags and values. */}}
{{- define "nodeprefetch.splitArgument" -}}
{{- $forms := list -}}
{{- range compact (regexSplit "[\\s\\p{Z}]+" . -1) -}}
{{- if and $forms (not (hasPrefix "-" .)) (not (contains "=" (last $forms))) -}}
{{- $forms = append (initial $forms) (printf "%s=%s" (last $forms) (trimPrefix "=" .)) -}}
{{- else -}}
{{- $forms = append $forms . -}}
{{- end -}}
{{- end -}}
{{- join " " $forms -}}
{{- end -}}
