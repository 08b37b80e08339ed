"""Who may do what: service accounts, the rights to label nodes and to have tokens reviewed, OpenShift's to hostPath."""

from deploy_gen.objects import AGGREGATOR, FETCH, Object, cluster_name, metrics_name, new_object
from deploy_gen.options import Options

RBAC = "rbac.authorization.k8s.io"


def fetch_access(options: Options) -> list[Object]:
    """Of the fetch pods."""
    name = cluster_name(options, "node-labeler")
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]
    description = f"Lets {options.name} in {options.namespace} write the label of its outcome onto nodes."
    return [
        _service_account(options.name, options, FETCH),
        *_cluster_role(name, rules, options.name, options, FETCH, description),
        *(_use_of_scc(options) if options.is_openshift else []),
    ]


def aggregator_access(options: Options) -> list[Object]:
    """Of the aggregator."""
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


def _use_of_scc(options: Options) -> list[Object]:
    """Only `privileged`, of the constraints that every cluster has, allows hostPath with root and any SELinux type."""
    name = f"{options.name}-privileged-scc"
    role = new_object(f"{RBAC}/v1", "Role", name, options, FETCH)
    binding = new_object(f"{RBAC}/v1", "RoleBinding", name, options, FETCH)
    return [
        {
            **role,
            "rules": [
                {
                    "apiGroups": ["security.openshift.io"],
                    "resources": ["securitycontextconstraints"],
                    "resourceNames": ["privileged"],
                    "verbs": ["use"],
                }
            ],
        },
        {
            **binding,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": options.name, "namespace": options.namespace}],
        },
    ]
