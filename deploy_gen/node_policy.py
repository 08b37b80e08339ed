"""Builds `--restrict-node-access`: the policies for what fetch pods change at nodes, and for their events.

RBAC knows neither fields nor "the node this pod runs on"; a ValidatingAdmissionPolicy does (stable since Kubernetes
1.30). Tokens of pods contain their node since 1.30 as well (KEP-4193).
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from collections.abc import Iterable

from deploy_gen.objects import FETCH, Object, cluster_name, new_object, user_name
from deploy_gen.options import IMPERSONATE, Options, Taint

ADMISSION = "admissionregistration.k8s.io/v1"
NODE_NAME = "authentication.kubernetes.io/node-name"
"""Extra field of a user: the node of the pod that the token is bound to."""

NODE_OF_POD = f"request.userInfo.?extra[?'{NODE_NAME}'].orValue([])"

ACTS_AS_NODE = (
    "request.userInfo.username.startsWith('system:node:')"
    " && request.userInfo.?uid.orValue('') == '' && size(request.userInfo.?extra.orValue({})) == 0"
)
"""A node that is impersonated. The API server hides from policies by whom. But kubelets that log in have an extra field
with the hash of their certificate (`authentication.kubernetes.io/credential-id`), and an impersonated node has none."""


def node_restriction(options: Options) -> list[Object]:
    """Build the policies, and the bindings that enforce them."""
    keys = _Keys(options)
    objects = _enforced("node-access", _node_policy(options, keys), _allowed(options, keys), options)
    if options.events:
        objects += _enforced("node-events", _event_policy(options), "write events about its own node only", options)
    return objects


class _Keys:
    """The keys that fetch pods may change.

    Policies do not learn who acts as a node. So these pods may change the keys of all installations with their
    prefix; otherwise two installations would refuse each other's.
    """

    def __init__(self, options: Options) -> None:
        self._prefix, self._key = f"{options.node_label_prefix}/", options.node_key
        self._is_shared = options.node_access == IMPERSONATE
        self.who = "a pod that acts as its node" if self._is_shared else "this service account"
        self.name = f"{self._prefix}…" if self._is_shared else self._key
        self.summary = f"{self.name}.summary"

    def owns(self, variable: str, suffix: str = "") -> str:
        """Build the expression that a key, in a variable, is one of them."""
        if not self._is_shared:
            return f"({variable} == '{self._key}{suffix}')"
        ends = f" && {variable}.endsWith('{suffix}')" if suffix else ""
        return f"({variable}.startsWith('{self._prefix}'){ends})"


def _enforced(purpose: str, spec: Object, what: str, options: Options) -> list[Object]:
    name = cluster_name(options, purpose)
    description = f"Lets {options.name} in {options.namespace} {what}."
    policy = new_object(
        ADMISSION, "ValidatingAdmissionPolicy", name, options, FETCH, description=description, is_of_cluster=True
    )
    binding = new_object(ADMISSION, "ValidatingAdmissionPolicyBinding", name, options, FETCH, is_of_cluster=True)
    for validation in spec["validations"]:
        # 403 in place of 422, which clients take for a failed `test` of a JSON patch, and try again.
        validation["reason"] = "Forbidden"
    return [
        {**policy, "spec": spec},
        {**binding, "spec": {"policyName": name, "validationActions": ["Deny"]}},
    ]


def _allowed(options: Options, keys: _Keys) -> str:
    allowed = [f"label {keys.name}"]
    if options.node_condition:
        allowed.append(f"condition {keys.name}")
    if options.startup_taints:
        allowed.append("removal of startup taints")
    return f"change its own node only: {', '.join(allowed)}"


def _requests(*operations: str, resources: list[str]) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": [*operations], "resources": resources, "scope": "*"}
    return {"resourceRules": [rule]}


def _by_account(options: Options) -> Object:
    return {"name": "from-our-account", "expression": f"request.userInfo.username == '{user_name(options)}'"}


def _node_policy(options: Options, keys: _Keys) -> Object:
    acts_as_node = options.node_access == IMPERSONATE
    return {
        "failurePolicy": "Fail",
        "matchConstraints": _requests("UPDATE", resources=["nodes", "nodes/status"]),  # includes patch
        "matchConditions": [
            {"name": "acts-as-a-node", "expression": ACTS_AS_NODE} if acts_as_node else _by_account(options)
        ],
        "variables": [
            *_before_and_after("Labels", "metadata.?labels", "{}"),
            *_before_and_after("Annotations", "metadata.?annotations", "{}"),
            *(_before_and_after("Spec", "spec", "{}") if options.startup_taints else []),
            *(_before_and_after("Taints", "spec.?taints", "[]") if options.startup_taints else []),
            *(_before_and_after("Status", "status", "{}") if options.node_condition else []),
            *(_before_and_after("Conditions", "status.?conditions", "[]") if options.node_condition else []),
        ],
        "validations": [
            _own_node_acting(keys) if acts_as_node else _own_node(keys),
            *_metadata(keys),
            *_spec(options.startup_taints, keys),
            _status(keys, has_condition=options.node_condition),
        ],
    }


def _own_node(keys: _Keys) -> Object:
    return {
        "expression": f"{NODE_OF_POD} == [request.name]",
        "message": f"{keys.who} may change the node of its pod, with the pod's token, and no other",
    }


def _own_node_acting(keys: _Keys) -> Object:
    return {
        "expression": "request.userInfo.username == 'system:node:' + request.name",
        "message": f"{keys.who} may change that node, and no other",
    }


def _metadata(keys: _Keys) -> list[Object]:
    """What goes for the metadata, which requests to the status can change as well."""
    return [
        {
            "expression": _same_maps("Labels", keys.owns("key")),
            "message": f"{keys.who} may change the label {keys.name}, and no other",
        },
        {
            "expression": f"variables.newLabels.all(key, !{keys.owns('key')}"
            " || variables.newLabels[key] in ['succeeded', 'failed'] || variables.oldLabels[?key]"
            " == variables.newLabels[?key])",
            "message": f"the label {keys.name} is succeeded or failed",
        },
        {
            "expression": _same_maps("Annotations", keys.owns("key", ".summary")),
            "message": f"{keys.who} may change the annotation {keys.summary}, and no other",
        },
        {
            "expression": "object.metadata.?finalizers == oldObject.metadata.?finalizers"
            " && object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences",
            "message": f"{keys.who} may not change what a node's deletion waits for or comes with",
        },
    ]


def _spec(taints: Iterable[Taint], keys: _Keys) -> list[Object]:
    named = [str(taint) for taint in taints]
    if not named:
        return [
            {
                "expression": "object.?spec == oldObject.?spec",
                "message": f"{keys.who} may not change what a node is, such as its taints",
            }
        ]
    is_named = " || ".join(_is_taint(taint) for taint in taints)
    return [
        {
            "expression": _same_maps("Spec", "key == 'taints'"),
            "message": f"{keys.who} may not change what a node is, except for startup taints",
        },
        {
            "expression": "variables.newTaints.all(taint, taint in variables.oldTaints)"
            f" && variables.oldTaints.all(taint, taint in variables.newTaints || {is_named})",
            "message": f"{keys.who} may remove the taints {', '.join(named)}, and change no others",
        },
    ]


def _status(keys: _Keys, *, has_condition: bool) -> Object:
    if not has_condition:
        return {
            "expression": "object.?status == oldObject.?status",
            "message": f"{keys.who} may not change the status of a node",
        }
    new, old = "variables.newConditions", "variables.oldConditions"
    rest, is_own = _same_maps("Status", "key == 'conditions'"), keys.owns("one.type")
    return {
        "expression": f"{rest} && {new}.all(one, {is_own} || one in {old}) && {old}.all(one, {is_own} || one in {new})",
        "message": f"{keys.who} may change the condition {keys.name}, and nothing else of a node's status",
    }


def _event_policy(options: Options) -> Object:
    return {
        "failurePolicy": "Fail",
        "matchConstraints": _requests("CREATE", "UPDATE", resources=["events"]),
        "matchConditions": [_by_account(options)],
        "validations": [
            {
                "expression": "object.involvedObject.?kind.orValue('') == 'Node'"
                f" && {NODE_OF_POD} == [object.involvedObject.?name.orValue('')]",
                "message": "this service account may write events about the node of its pod, with the pod's token,"
                " and no others",
            }
        ],
    }


def _before_and_after(name: str, field: str, absent: str) -> list[Object]:
    """Build variables for a field before and after the change. `dyn`: the fields of a node depend on the version."""
    return [
        {"name": f"old{name}", "expression": f"dyn(oldObject).?{field}.orValue({absent})"},
        {"name": f"new{name}", "expression": f"dyn(object).?{field}.orValue({absent})"},
    ]


def _same_maps(name: str, is_own: str) -> str:
    """Build the expression that all keys have the same value before and after, but those that may change."""
    old, new = f"variables.old{name}", f"variables.new{name}"
    return (
        f"{new}.all(key, {is_own} || (key in {old} && {old}[key] == {new}[key]))"
        f" && {old}.all(key, {is_own} || key in {new})"
    )


def _is_taint(taint: Taint) -> str:
    parts = [f"taint.key == '{taint.key}'"]
    if taint.value is not None:
        parts.append(f"taint.?value.orValue('') == '{taint.value}'")
    if taint.effect:
        parts.append(f"taint.effect == '{taint.effect}'")
    return f"({' && '.join(parts)})"
