"""Builds what objects of an installation share: names, labels, and parts of pods."""

from collections.abc import Iterable
from typing import Any

from deploy_gen.checks import is_label_value
from deploy_gen.options import Options

Object = dict[str, Any]
"""A Kubernetes object or a part of one, in its JSON form."""

NONROOT = 65532
"""User and group of the nodeprefetch image."""

FETCH, AGGREGATOR, READER = "fetch", "aggregator", "reader"
"""Values of the label app.kubernetes.io/component."""

SERVICE_ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where in-cluster clients look for their credentials."""

TOKEN_SECONDS = 3600
"""Lifetime of projected tokens. The kubelet renews them after 80 percent of it."""


def metrics_name(options: Options) -> str:
    """Name all objects of the aggregator. `parse.py` rejects it as the NAME of an installation."""
    return f"{options.name}-metrics"


def reader_name(options: Options) -> str:
    """Name the account of readers. `parse.py` rejects it as the NAME of an installation."""
    return f"{options.name}-reader"


def dashboard_name(options: Options) -> str:
    """Name the ConfigMap of the dashboard. `parse.py` rejects it as the NAME of an installation."""
    return f"{options.name}-dashboard"


def user_name(options: Options) -> str:
    """Name the service account of the fetch pods as the API server names users."""
    return f"system:serviceaccount:{options.namespace}:{options.name}"


def cluster_name(options: Options, purpose: str) -> str:
    """Name an object without a namespace.

    The name is unique to the installation: a namespace has no '.', so the second part is always the namespace and the
    last the purpose, whatever NAME contains. The longest has 145 of the 253 characters allowed.
    """
    return f"nodeprefetch.{options.namespace}.{options.name}.{purpose}"


def selector(options: Options, component: str) -> Object:
    """Labels that only pods of this component have."""
    return {
        "app.kubernetes.io/name": "nodeprefetch",
        "app.kubernetes.io/instance": options.name,
        "app.kubernetes.io/component": component,
    }


def labels(options: Options, component: str) -> Object:
    """Labels that Kubernetes recommends. https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/."""
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
    namespace: str = "",
    is_of_cluster: bool = False,
) -> Object:
    """Build an object with its metadata, to which the caller adds the rest.

    Args:
        api_version: group and version.
        kind: of the object.
        name: of the object.
        options: of the installation.
        component: to which it belongs.
        description: for people.
        namespace: empty: the installation's.
        is_of_cluster: it has no namespace.
    """
    metadata: Object = {"name": name}
    if not is_of_cluster:
        metadata["namespace"] = namespace or options.namespace
    metadata["labels"] = labels(options, component)
    if description:
        metadata["annotations"] = {"kubernetes.io/description": description}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def container_args(texts: Iterable[str]) -> list[str]:
    """Escape arguments of a container, in which the kubelet would replace `$(NAME)`."""
    return [text.replace("$", "$$") for text in texts]


def container_security(**more: object) -> Object:
    """Build a security context with the fewest privileges, and what the container needs besides."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        **more,
    }


def resources(*, cpu: str, memory: str, memory_limit: str) -> Object:
    """Build requests and a memory limit. A CPU limit would only slow down a short start."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}


def api_token_volume(name: str) -> Object:
    """Build the volume that `automountServiceAccountToken` would mount into all containers, for one of them.

    Defaults inside lists are explicit, here and elsewhere: otherwise every `kubectl apply` finds a difference.
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
    """Build the mount of a volume in a container."""
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def pull_secrets(options: Options) -> Object:
    """Build the fields of a pod's spec with the pull secrets for the nodeprefetch image."""
    names = options.image_pull_secrets
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}
