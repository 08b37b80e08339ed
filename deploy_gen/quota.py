"""The ResourceQuota that fetch pods of a system priority class need where a cluster limits those classes, as GKE does.

The API server there creates such pods only in namespaces with a quota for the class:
https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default
"""

from deploy_gen.objects import FETCH, Object, new_object
from deploy_gen.options import Options

_NO_LIMIT = "1G"
"""Pods. The quota allows the class; it must not stop a node from getting its pod."""


def needs_quota(options: Options) -> bool:
    """Whether the class is one of Kubernetes' own, which alone have names like this."""
    return options.priority_class.startswith("system-")


def resource_quota(options: Options) -> Object:
    """The quota. It counts the pods of that class alone, so other pods of the namespace are as free as before."""
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
