"""Builds service accounts and permissions: nodes, their events, token reviews, hostPath."""

from deploy_gen.objects import AGGREGATOR, FETCH, Object, cluster_name, metrics_name
from deploy_gen.options import IMPERSONATE, Options
from deploy_gen.pod_selector import PodSelector
from deploy_gen.roles import cluster_role, role, rule, service_account

EVENTS_NAMESPACE = "default"
"""The API server accepts events about objects without a namespace, such as nodes, only here."""


def fetch_access(options: Options) -> list[Object]:
    """Build the service account of the fetch pods and its permissions."""
    name = cluster_name(options, "node-labeler")
    rules = _acting_node_rules(options) if options.node_access == IMPERSONATE else _node_rules(options)
    description = f"Lets {options.name} in {options.namespace} {_purpose(options)}."
    return [
        service_account(options, FETCH),
        *cluster_role(name, rules, options, FETCH, description),
        *(_event_access(options) if options.events else []),
        *(_scc_access(options) if options.is_openshift else []),
        *(_count_access(options) if options.counts_nodes else []),
        *(_workload_access(options, options.once_for) if options.once_for else []),
    ]


def aggregator_access(options: Options) -> list[Object]:
    """Build the service account of the aggregator and its permissions."""
    name = cluster_name(options, "token-reviewer")
    rules = [rule("authentication.k8s.io", "tokenreviews", "create")]
    description = (
        f"Lets {metrics_name(options)} in {options.namespace} ask whose token a submission of results came with."
    )
    return [
        service_account(options, AGGREGATOR),
        *cluster_role(name, rules, options, AGGREGATOR, description),
    ]


def _purpose(options: Options) -> str:
    written = ["the label of its outcome", *(["a condition"] if options.node_condition else [])]
    removed = ", and remove startup taints" if options.startup_taints else ""
    text = f"write {' and '.join(written)} onto nodes{removed}"
    return f"act as the node of its pod, to {text}" if options.node_access == IMPERSONATE else text


def _node_rules(options: Options) -> list[Object]:
    rules = [rule("", "nodes", "get", "patch")]
    if options.node_condition:
        rules.append(rule("", "nodes/status", "patch"))
    return rules


def _acting_node_rules(options: Options) -> list[Object]:
    """Build what lets a pod act as its own node, and what it may do then (constrained impersonation, KEP-5284)."""
    acting = "impersonate-on:associated-node"
    rules = [
        rule("authentication.k8s.io", "nodes", "impersonate:associated-node"),
        rule("", "nodes", f"{acting}:get", f"{acting}:patch"),
    ]
    if options.node_condition:
        rules.append(rule("", "nodes/status", f"{acting}:patch"))
    return rules


def _event_access(options: Options) -> list[Object]:
    """Allow events, only where those about nodes are."""
    name = cluster_name(options, "event-writer")
    return role(name, [rule("", "events", "create")], options, FETCH, namespace=EVENTS_NAMESPACE)


def _scc_access(options: Options) -> list[Object]:
    """Allow the SCC `privileged`, the only one of every cluster with hostPath, root and any SELinux type."""
    use = rule("security.openshift.io", "securitycontextconstraints", "use", name="privileged")
    return role(f"{options.name}-privileged-scc", [use], options, FETCH)


def _count_access(options: Options) -> list[Object]:
    """Allow fetch pods to read their DaemonSet, whose status has the number of nodes."""
    read = rule("apps", "daemonsets", "get", name=options.name)
    return role(f"{options.name}-node-counter", [read], options, FETCH)


def _workload_access(options: Options, pods: PodSelector) -> list[Object]:
    """Allow fetch pods to find the pods of the workload, in its namespace alone. RBAC knows no labels."""
    name = cluster_name(options, "pod-finder")
    return role(name, [rule("", "pods", "list")], options, FETCH, namespace=pods.namespace)
