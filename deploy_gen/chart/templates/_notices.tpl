{{/* What is valid but may surprise the user, as JSON: (list $o LIST). */}}
{{- define "nodeprefetch.notices" -}}
{{- $o := index . 0 -}}
{{- $list := index . 1 -}}
{{- $notices := list -}}
{{- $authRead := has "--auth-read" $o.aggregateArgs -}}
{{- if gt (len $list) 524288 -}}
{{- $notices = append $notices "the list is in the release, which Helm stores compressed in a Secret of at most 1 MiB (create the ConfigMap yourself, without the value images, if the list becomes too long)" -}}
{{- end -}}
{{- if and (eq $o.expose "LoadBalancer") (not $authRead) -}}
{{- $notices = append $notices "anyone who reaches the load balancer can read results (use aggregateArgs=--auth-read to require a token)" -}}
{{- end -}}
{{- if and $o.restrictNodeAccess $o.acts -}}
{{- $notices = append $notices "with nodeAccess impersonate, the policy of restrictNodeAccess applies to all pods of the cluster that act as their node: it rejects what other software writes in that way" -}}
{{- end -}}
{{- if and $o.networkPolicy $o.hostNetwork -}}
{{- $notices = append $notices "network policies do not apply to fetch pods, as they use the node's network" -}}
{{- end -}}
{{- if and $o.readerRole $o.collectMetrics $o.networkPolicy (eq $o.expose "ClusterIP") -}}
{{- $notices = append $notices "network policies also apply to the API server, through which readers reach the aggregator: add its addresses to the policy where it does not connect from pods in kube-system" -}}
{{- end -}}
{{- if and $o.readerRole $authRead -}}
{{- $notices = append $notices "with --auth-read, readers do not reach the aggregator through the API server, which passes on no token" -}}
{{- end -}}
{{- if and $o.serviceMonitor $authRead -}}
{{- $notices = append $notices "with --auth-read Prometheus needs a token, which this ServiceMonitor does not configure" -}}
{{- end -}}
{{- if $o.nodeReadinessRule -}}
{{- $notices = append $notices "the Node Readiness Controller closes existing nodes that lack their images once it has this rule (apply it when their condition is True)" -}}
{{- end -}}
{{- toJson $notices -}}
{{- end -}}
