"""What to do when the API server refuses for good what a reporter wants of the node."""

import re

from nodeprefetch.kube import ForbiddenError, KubeError, NotFoundError, UnauthorizedError

_REFUSED = re.compile(r'User "(?P<user>[^"]+)" cannot (?P<verb>impersonate\S*) resource "(?P<resource>[^"]+)"')
_USER = re.compile(r'User "([^"]+)"')
"""In the API server's message for a 403, with the JSON unescaped."""

_ACTING = "impersonate:associated-node"
"""Verb of the permission to act as the node of the own pod (constrained impersonation, KEP-5284)."""

_WITHOUT_KEP_5284 = ("impersonate", "users")
"""Verb and resource of the permission that API servers without it ask for, for any user."""

_AS_ANOTHER_NODE = "impersonate-on:arbitrary-node:"
"""Begins the verbs of the permission that is asked for if the login belongs to no pod of that node."""

_BY_ADMISSION = ("is not allowed to ", " denied request: ")
"""In the messages of the admission plugin NodeRestriction and of policies, which no permission would change."""

_EVENTS = "events"


def advice(error: KubeError, verb: str, resource: str, node: str) -> str:
    """What to do, in parentheses after a blank; or empty.

    Args:
        error: the refusal.
        verb: of the permission that the call needs.
        resource: of that permission, such as `nodes/status`.
        node: name of the node.
    """
    match error:
        case ForbiddenError():
            return _about_permissions(str(error), verb, resource, node)
        case NotFoundError() if resource != _EVENTS:
            return f" (NODE_NAME must be the pod's spec.nodeName; check: kubectl get node {node})"
        case UnauthorizedError():
            return " (authentication failed; does the service account still exist? check: kubectl get serviceaccounts)"
        case _:
            return ""


def _about_permissions(said: str, verb: str, resource: str, node: str) -> str:
    acting = _REFUSED.search(said)
    if acting is None:
        if any(words in said for words in _BY_ADMISSION):
            return ""
        user = _USER.search(said)
        return _missing(verb, resource, user.group(1) if user else "system:serviceaccount:NAMESPACE:NAME")
    if (acting["verb"], acting["resource"]) == _WITHOUT_KEP_5284:
        return " (--node-access impersonate requires Kubernetes 1.36 or newer; use --node-access direct)"
    if acting["verb"].startswith(_AS_ANOTHER_NODE):
        return (
            f" (--node-access impersonate requires the token of a pod on node {node}; is it the pod's spec.nodeName?)"
        )
    if acting["verb"] == _ACTING:
        return _missing(_ACTING, "nodes.authentication.k8s.io", acting["user"])
    return _missing(acting["verb"], acting["resource"], acting["user"])


def _missing(verb: str, resource: str, account: str) -> str:
    name, _, subresource = resource.partition("/")
    flag = f" --subresource={subresource}" if subresource else ""
    check = f"kubectl auth can-i {verb} {name}{flag} --as={account}"
    otherwise = "; --no-events disables events" if resource == _EVENTS else ""
    return f" (missing permission to {verb} {resource}; check: {check}{otherwise})"
