"""Builds the ResourceQuota for fetch pods of a system priority class, which some clusters require, such as GKE.

Their API server creates such pods only in namespaces that have a quota for the class:
https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default
"""

from deploy_gen.objects import FETCH, Object, new_object
from deploy_gen.options import Options

NODE_CRITICAL = "system-node-critical"
"""Allowed in all namespaces since Kubernetes 1.17, but for such clusters."""

_NO_LIMIT = "1G"
"""Number of pods. The quota only enables the class, and must not keep a pod from any node."""


def needs_quota(options: Options) -> bool:
    """Whether the priority class is a system class. Kubernetes reserves the prefix `system-` for them."""
    return options.priority_class.startswith("system-")


def resource_quota(options: Options) -> Object:
    """Build the quota. It counts pods of that class only, and so does not limit other pods of the namespace."""
    return {
        **new_object("v1", "ResourceQuota", options.name, options, FETCH),
        "spec": {
            "hard": {"pods": _NO_LIMIT},
            "scopeSelector": {
                "matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In", "values": [options.priority_class]}
                ]
            },
        },
    }
