"""`--restrict-node-access`: has the API server hold the fetch pods' right to patch nodes to their label on their node.

RBAC knows neither fields nor "the node this pod runs on"; a ValidatingAdmissionPolicy does (stable since Kubernetes
1.30). Tokens of pods name their node since 1.30 as well (KEP-4193).
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from deploy_gen.objects import FETCH, Object, cluster_name, new_object
from deploy_gen.options import Options

ADMISSION = "admissionregistration.k8s.io/v1"
NODE_NAME = "authentication.kubernetes.io/node-name"
"""In a user's extra fields: the node of the pod that the token is bound to."""


def node_restriction(options: Options) -> list[Object]:
    """The policy, and the binding that has it refuse."""
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
                    "operations": ["UPDATE"],  # a patch is one; our role gives nothing else
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
    """Variables for a map of the metadata before and after; it may be absent from both."""
    return [
        {"name": f"old{name}", "expression": f"oldObject.?metadata.?{field}.orValue({{}})"},
        {"name": f"new{name}", "expression": f"object.?metadata.?{field}.orValue({{}})"},
    ]


def _only_differs_in(name: str, key: str) -> str:
    """Every other key is in both, with one value."""
    old, new = f"variables.old{name}", f"variables.new{name}"
    return (
        f"{new}.all(key, key == '{key}' || (key in {old} && {old}[key] == {new}[key]))"
        f" && {old}.all(key, key == '{key}' || key in {new})"
    )
