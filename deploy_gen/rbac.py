"""Builds service accounts and permissions: node labels, token reviews, hostPath, and `--restrict-node-access`.

RBAC knows neither fields nor "the node this pod runs on"; a ValidatingAdmissionPolicy does (stable since Kubernetes
1.30). Tokens of pods contain their node since 1.30 as well (KEP-4193).
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from deploy_gen.objects import AGGREGATOR, FETCH, Object, cluster_name, metrics_name, new_object
from deploy_gen.options import Options

RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io/v1"
NODE_NAME = "authentication.kubernetes.io/node-name"
"""Extra field of a user: the node of the pod that the token is bound to."""


def fetch_access(options: Options) -> list[Object]:
    """Build the service account of the fetch pods and its permissions."""
    name = cluster_name(options, "node-labeler")
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]
    description = f"Lets {options.name} in {options.namespace} write the label of its outcome onto nodes."
    return [
        _service_account(options.name, options, FETCH),
        *_cluster_role(name, rules, options.name, options, FETCH, description),
        *(_scc_access(options) if options.is_openshift else []),
        *(_count_access(options) if options.counts_nodes else []),
    ]


def aggregator_access(options: Options) -> list[Object]:
    """Build the service account of the aggregator and its permissions."""
    account = metrics_name(options)
    name = cluster_name(options, "token-reviewer")
    rules = [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]
    description = f"Lets {account} in {options.namespace} ask whose token a submission of results came with."
    return [
        _service_account(account, options, AGGREGATOR),
        *_cluster_role(name, rules, account, options, AGGREGATOR, description),
    ]


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


def _role(name: str, rule: Object, options: Options) -> list[Object]:
    """Build a Role with one rule, and bind it to the service account of the fetch pods."""
    role = new_object(f"{RBAC}/v1", "Role", name, options, FETCH)
    binding = new_object(f"{RBAC}/v1", "RoleBinding", name, options, FETCH)
    return [
        {**role, "rules": [rule]},
        {
            **binding,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": options.name, "namespace": options.namespace}],
        },
    ]


def node_restriction(options: Options) -> list[Object]:
    """Build the policy, and the binding that enforces it."""
    name = cluster_name(options, "node-access")
    key = f"{options.node_label_prefix}/{options.name}"
    account = f"system:serviceaccount:{options.namespace}:{options.name}"
    description = f"Lets {options.name} in {options.namespace} write {key} onto its own node, and nothing else."
    policy = new_object(
        ADMISSION, "ValidatingAdmissionPolicy", name, options, FETCH, description=description, is_of_cluster=True
    )
    binding = new_object(ADMISSION, "ValidatingAdmissionPolicyBinding", name, options, FETCH, is_of_cluster=True)
    return [
        {**policy, "spec": _policy(account, key)},
        {**binding, "spec": {"policyName": name, "validationActions": ["Deny"]}},
    ]


def _policy(account: str, key: str) -> Object:
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["*"],
                    "operations": ["UPDATE"],  # includes patch, the only way to write that the role allows
                    "resources": ["nodes"],
                    "scope": "*",
                }
            ]
        },
        "matchConditions": [{"name": "from-our-account", "expression": f"request.userInfo.username == '{account}'"}],
        "variables": [
            *_maps("labels", "Labels"),
            *_maps("annotations", "Annotations"),
        ],
        "validations": [
            {
                "expression": f"request.userInfo.?extra[?'{NODE_NAME}'].orValue([]) == [request.name]",
                "message": "this service account may change the node of its pod, with the pod's token, and no other",
            },
            {
                "expression": _only_differs_in("Labels", key),
                "message": f"this service account may change the label {key}, and no other",
            },
            {
                "expression": f"variables.newLabels[?'{key}'].orValue('failed') in ['succeeded', 'failed']",
                "message": f"the label {key} is succeeded or failed",
            },
            {
                "expression": _only_differs_in("Annotations", f"{key}.summary"),
                "message": f"this service account may change the annotation {key}.summary, and no other",
            },
            {
                "expression": "object.?spec == oldObject.?spec",
                "message": "this service account may not change what a node is, such as its taints",
            },
            {
                "expression": "object.metadata.?finalizers == oldObject.metadata.?finalizers"
                " && object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences",
                "message": "this service account may not change what a node's deletion waits for or comes with",
            },
        ],
    }


def _maps(field: str, name: str) -> list[Object]:
    """Build variables for a map in the metadata before and after the change. Either may be absent."""
    return [
        {"name": f"old{name}", "expression": f"oldObject.?metadata.?{field}.orValue({{}})"},
        {"name": f"new{name}", "expression": f"object.?metadata.?{field}.orValue({{}})"},
    ]


def _only_differs_in(name: str, key: str) -> str:
    """Build the expression that all other keys have the same value before and after."""
    old, new = f"variables.old{name}", f"variables.new{name}"
    return (
        f"{new}.all(key, key == '{key}' || (key in {old} && {old}[key] == {new}[key]))"
        f" && {old}.all(key, key == '{key}' || key in {new})"
    )
