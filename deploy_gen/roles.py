"""Builds service accounts, roles and their bindings."""

from deploy_gen.objects import AGGREGATOR, FETCH, READER, Object, metrics_name, new_object, reader_name, user_name
from deploy_gen.options import Options

RBAC = "rbac.authorization.k8s.io"
_VERSION = f"{RBAC}/v1"


def rule(group: str, resource: str, *verbs: str, name: str = "") -> Object:
    """Build a rule. With a name, it allows the verbs only for this object."""
    names = {"resourceNames": [name]} if name else {}
    return {"apiGroups": [group], "resources": [resource], **names, "verbs": [*verbs]}


def service_account(options: Options, component: str) -> Object:
    """Build the account of a component. Its token is mounted only where a pod asks for it."""
    account = new_object("v1", "ServiceAccount", _account_name(options, component), options, component)
    return {**account, "automountServiceAccountToken": False}


def cluster_role(name: str, rules: list[Object], options: Options, component: str, description: str) -> list[Object]:
    """Build a ClusterRole, and bind it to the account of the component."""
    role = new_object(_VERSION, "ClusterRole", name, options, component, description=description, is_of_cluster=True)
    binding = new_object(_VERSION, "ClusterRoleBinding", name, options, component, is_of_cluster=True)
    return [{**role, "rules": rules}, {**binding, **_bound("ClusterRole", name, options, component)}]


def role(name: str, rules: list[Object], options: Options, component: str, *, namespace: str = "") -> list[Object]:
    """Build a Role, and bind it to the account of the component. Empty namespace: the installation's."""
    made = new_object(_VERSION, "Role", name, options, component, namespace=namespace)
    binding = new_object(_VERSION, "RoleBinding", name, options, component, namespace=namespace)
    return [{**made, "rules": rules}, {**binding, **_bound("Role", name, options, component)}]


def _bound(kind: str, name: str, options: Options, component: str) -> Object:
    return {
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [_subject(options, component)],
    }


def _subject(options: Options, component: str) -> Object:
    """Name the account.

    Tools that change the namespace, such as kustomize, also change it in subjects, but not in expressions of policies.
    So what a policy restricts is permitted to the user name that the policy contains. A change of the namespace alone
    then leaves the pods without permissions, and never without the restriction.
    """
    if component == FETCH and options.restrict_node_access:
        return {"kind": "User", "apiGroup": RBAC, "name": user_name(options)}
    return {"kind": "ServiceAccount", "name": _account_name(options, component), "namespace": options.namespace}


def _account_name(options: Options, component: str) -> str:
    return {FETCH: options.name, AGGREGATOR: metrics_name(options), READER: reader_name(options)}[component]
