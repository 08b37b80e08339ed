"""Builds service accounts and permissions: nodes, their events, token reviews, hostPath."""

from deploy_gen.objects import AGGREGATOR, FETCH, Object, cluster_name, metrics_name, new_object
from deploy_gen.options import IMPERSONATE, Options

RBAC = "rbac.authorization.k8s.io"

EVENTS_NAMESPACE = "default"
"""The API server accepts events about objects without a namespace, such as nodes, only here."""


def fetch_access(options: Options) -> list[Object]:
    """Build the service account of the fetch pods and its permissions."""
    name = cluster_name(options, "node-labeler")
    rules = _acting_node_rules(options) if options.node_access == IMPERSONATE else _node_rules(options)
    description = f"Lets {options.name} in {options.namespace} {_purpose(options)}."
    return [
        _service_account(options.name, options, FETCH),
        *_cluster_role(name, rules, options.name, options, FETCH, description),
        *(_event_access(options) if options.events else []),
        *(_scc_access(options) if options.is_openshift else []),
        *(_count_access(options) if options.counts_nodes else []),
    ]


def aggregator_access(options: Options) -> list[Object]:
    """Build the service account of the aggregator and its permissions."""
    account = metrics_name(options)
    name = cluster_name(options, "token-reviewer")
    rules = [_rule("authentication.k8s.io", "tokenreviews", "create")]
    description = f"Lets {account} in {options.namespace} ask whose token a submission of results came with."
    return [
        _service_account(account, options, AGGREGATOR),
        *_cluster_role(name, rules, account, options, AGGREGATOR, description),
    ]


def _purpose(options: Options) -> str:
    written = ["the label of its outcome", *(["a condition"] if options.node_condition else [])]
    removed = ", and remove startup taints" if options.startup_taints else ""
    text = f"write {' and '.join(written)} onto nodes{removed}"
    return f"act as the node of its pod, to {text}" if options.node_access == IMPERSONATE else text


def _node_rules(options: Options) -> list[Object]:
    rules = [_rule("", "nodes", "get", "patch")]
    if options.node_condition:
        rules.append(_rule("", "nodes/status", "patch"))
    return rules


def _acting_node_rules(options: Options) -> list[Object]:
    """Build what lets a pod act as its own node, and what it may do then (constrained impersonation, KEP-5284)."""
    acting = "impersonate-on:associated-node"
    rules = [
        _rule("authentication.k8s.io", "nodes", "impersonate:associated-node"),
        _rule("", "nodes", f"{acting}:get", f"{acting}:patch"),
    ]
    if options.node_condition:
        rules.append(_rule("", "nodes/status", f"{acting}:patch"))
    return rules


def _rule(group: str, resource: str, *verbs: str) -> Object:
    return {"apiGroups": [group], "resources": [resource], "verbs": [*verbs]}


def _service_account(name: str, options: Options, component: str) -> Object:
    account = new_object("v1", "ServiceAccount", name, options, component)
    return {**account, "automountServiceAccountToken": False}


def _cluster_role(  # noqa: PLR0917 - two callers, above
    name: str, rules: list[Object], account: str, options: Options, component: str, description: str
) -> list[Object]:
    version = f"{RBAC}/v1"
    role = new_object(version, "ClusterRole", name, options, component, description=description, is_of_cluster=True)
    binding = new_object(version, "ClusterRoleBinding", name, options, component, is_of_cluster=True)
    return [
        {**role, "rules": rules},
        {
            **binding,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": options.namespace}],
        },
    ]


def _event_access(options: Options) -> list[Object]:
    """Allow events, only where those about nodes are."""
    name = cluster_name(options, "event-writer")
    return _role(name, _rule("", "events", "create"), options, namespace=EVENTS_NAMESPACE)


def _scc_access(options: Options) -> list[Object]:
    """Allow the SCC `privileged`, the only one of every cluster with hostPath, root and any SELinux type."""
    rule = {
        "apiGroups": ["security.openshift.io"],
        "resources": ["securitycontextconstraints"],
        "resourceNames": ["privileged"],
        "verbs": ["use"],
    }
    return _role(f"{options.name}-privileged-scc", rule, options)


def _count_access(options: Options) -> list[Object]:
    """Allow fetch pods to read their DaemonSet, whose status has the number of nodes."""
    rule = {"apiGroups": ["apps"], "resources": ["daemonsets"], "resourceNames": [options.name], "verbs": ["get"]}
    return _role(f"{options.name}-node-counter", rule, options)


def _role(name: str, rule: Object, options: Options, *, namespace: str = "") -> list[Object]:
    """Build a Role with one rule, and bind it to the service account of the fetch pods."""
    role = new_object(f"{RBAC}/v1", "Role", name, options, FETCH, namespace=namespace)
    binding = new_object(f"{RBAC}/v1", "RoleBinding", name, options, FETCH, namespace=namespace)
    return [
        {**role, "rules": [rule]},
        {
            **binding,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": options.name, "namespace": options.namespace}],
        },
    ]
