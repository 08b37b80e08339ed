"""What all objects of an installation share: names, labels, and the pieces of pods. Pure functions."""

from collections.abc import Iterable
from typing import Any

from deploy_gen.checks import is_label_value
from deploy_gen.options import Options

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON has it."""

NONROOT = 65532
"""User and group of our image."""

FETCH, AGGREGATOR = "fetch", "aggregator"
"""Values of the label app.kubernetes.io/component."""

SERVICE_ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where in-cluster clients look."""

TOKEN_SECONDS = 3600
"""Life of projected tokens; the kubelet renews them after four fifths of it."""


def metrics_name(options: Options) -> str:
    """Of everything that belongs to the aggregator. No installation can be called so, see `reading.py`."""
    return f"{options.name}-metrics"


def cluster_name(options: Options, purpose: str) -> str:
    """Of an object without a namespace.

    A namespace has no '.', so the second part is the namespace and the last the purpose, whatever NAME is: two
    installations never share a name. The longest has 145 of the 253 characters that are allowed.
    """
    return f"nodeprefetch.{options.namespace}.{options.name}.{purpose}"


def selector(options: Options, component: str) -> Object:
    """Labels that tell the pods of a component from all others."""
    return {
        "app.kubernetes.io/name": "nodeprefetch",
        "app.kubernetes.io/instance": options.name,
        "app.kubernetes.io/component": component,
    }


def labels(options: Options, component: str) -> Object:
    """The recommended labels. https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/."""
    tag = options.image.tag
    return {
        **selector(options, component),
        "app.kubernetes.io/part-of": "nodeprefetch",
        "app.kubernetes.io/managed-by": "nodeprefetch-deploy",
        **({"app.kubernetes.io/version": tag} if tag and is_label_value(tag) else {}),
    }


def new_object(
    api_version: str,
    kind: str,
    name: str,
    options: Options,
    component: str,
    *,
    description: str = "",
    is_of_cluster: bool = False,
) -> Object:
    """An object with its metadata; what else it has is added by the caller."""
    metadata: Object = {"name": name}
    if not is_of_cluster:
        metadata["namespace"] = options.namespace
    metadata["labels"] = labels(options, component)
    if description:
        metadata["annotations"] = {"kubernetes.io/description": description}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def arguments(texts: Iterable[str]) -> list[str]:
    """Arguments of a container, kept from having their `$(NAME)` replaced by the kubelet."""
    return [text.replace("$", "$$") for text in texts]


def container_security(**more: object) -> Object:
    """The least a container can have, and what it needs besides."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        **more,
    }


def resources(*, cpu: str, memory: str, memory_limit: str) -> Object:
    """Requests, and a limit of memory. None of processor time: it would only slow down what is short anyway."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}


def api_token_volume(name: str) -> Object:
    """What `automountServiceAccountToken` would mount into all containers, for one of them.

    Here and elsewhere, defaults inside lists are written out: `kubectl apply` would find a difference every time.
    """
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ]
        },
    }


def mount(name: str, path: str, *, read_only: bool = True) -> Object:
    """A volume in a container."""
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def pull_secrets(options: Options) -> Object:
    """Members of a pod's specification, for our own image."""
    names = options.image_pull_secrets
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}
