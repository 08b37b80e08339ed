"""The DaemonSet: `fetch` in an init container on every node, then `sleep`; and the ConfigMap with the list."""

import hashlib
from pathlib import PurePosixPath

from deploy_gen import host_mounts
from deploy_gen.images import LIST_KEY
from deploy_gen.objects import (
    FETCH,
    NONROOT,
    SERVICE_ACCOUNT_MOUNT,
    TOKEN_SECONDS,
    Object,
    api_token_volume,
    arguments,
    container_security,
    labels,
    metrics_name,
    mount,
    new_object,
    pull_secrets,
    resources,
    selector,
)
from deploy_gen.options import Options, Toleration
from deploy_gen.ports import SUBMISSION

LIST_MOUNT = "/etc/nodeprefetch/list"
SECRETS_MOUNT = "/etc/nodeprefetch/pull-secrets"
METRICS_TOKEN_MOUNT = "/var/run/secrets/nodeprefetch"  # noqa: S105 - a path
AUDIENCE = "nodeprefetch"
"""Whom the token for the aggregator is meant for: its own default."""

_NOT_AS_ROOT = "fetch has to be root: the runtime's socket is root's"


def image_list(options: Options, text: str) -> Object:
    """The ConfigMap."""
    return {**new_object("v1", "ConfigMap", options.name, options, FETCH), "data": {LIST_KEY: text}}


def daemon_set(options: Options) -> Object:
    """The DaemonSet."""
    annotations: Object = {"ignore-check.kube-linter.io/run-as-non-root": _NOT_AS_ROOT}
    daemons = new_object("apps/v1", "DaemonSet", options.name, options, FETCH)
    daemons["metadata"]["annotations"] = annotations
    unavailable = {"maxUnavailable": options.max_unavailable}
    daemons["spec"] = {
        "selector": {"matchLabels": selector(options, FETCH)},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": unavailable},
        "template": {
            "metadata": {
                "labels": labels(options, FETCH),
                "annotations": _pod_annotations(options),
            },
            "spec": _pod(options),
        },
    }
    return daemons


def _pod_annotations(options: Options) -> Object:
    found = {"kubectl.kubernetes.io/default-container": "prefetch"}
    if options.is_openshift:
        found["openshift.io/required-scc"] = "privileged"
    if options.images is not None:
        # An edit of the list changes the pod, so that the list is fetched.
        found["nodeprefetch.io/images-sha256"] = hashlib.sha256(options.images.encode()).hexdigest()
    return found


def _pod(options: Options) -> Object:
    return {
        "serviceAccountName": options.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called nodeprefetch-… would set variables that `fetch` takes for flags
        **({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"} if options.host_network else {}),
        **({"priorityClassName": options.priority_class} if options.priority_class else {}),
        **pull_secrets(options),
        "nodeSelector": {"kubernetes.io/os": "linux", **dict(options.node_selector)},
        **({"tolerations": [_toleration(one) for one in options.tolerations]} if options.tolerations else {}),
        "terminationGracePeriodSeconds": options.termination_grace,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [_prefetch(options)],
        "containers": [_sleep(options)],
        "volumes": _volumes(options),
    }


def _prefetch(options: Options) -> Object:
    selinux = {"seLinuxOptions": {"type": options.selinux_type}} if options.selinux_type else {}
    return {
        "name": "prefetch",
        "image": options.image.reference,
        "args": arguments(_fetch_arguments(options)),
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "INSTANCE_NAME", "value": options.name},
        ],
        "resources": resources(cpu="20m", memory="48Mi", memory_limit="256Mi"),
        "securityContext": container_security(runAsUser=0, runAsGroup=0, **selinux),
        "volumeMounts": [
            mount("cri-socket-dir", host_mounts.SOCKET_MOUNT),
            mount("image-list", LIST_MOUNT),
            mount("api-token", SERVICE_ACCOUNT_MOUNT),
            *([mount("metrics-token", METRICS_TOKEN_MOUNT)] if options.collect_metrics else []),
            *(mount(_secret_volume(number), f"{SECRETS_MOUNT}/{name}") for number, name in enumerate(options.secrets)),
            *host_mounts.credential_mounts(options.credentials),
        ],
    }


def _fetch_arguments(options: Options) -> list[str]:
    found = [
        "fetch",
        f"--image-list-file={LIST_MOUNT}/{LIST_KEY}",
        f"--cri-socket={host_mounts.SOCKET_MOUNT}/{PurePosixPath(options.cri_socket).name}",
        f"--node-label-prefix={options.node_label_prefix}",
        *(f"--docker-config={SECRETS_MOUNT}/{name}" for name in options.secrets),
    ]
    if options.credentials:
        found += [
            f"--image-credential-provider-config={options.credentials.config}",
            f"--image-credential-provider-bin-dir={options.credentials.bin_dir}",
        ]
    if options.collect_metrics:
        found += [
            f"--metrics-endpoint={metrics_name(options)}.{options.namespace}.svc:{SUBMISSION}",
            f"--metrics-token-file={METRICS_TOKEN_MOUNT}/token",
        ]
    if options.allow_failures:
        found.append("--allow-failures")
    return [*found, *options.fetch_args]


def _sleep(options: Options) -> Object:
    return {
        "name": "sleep",
        "image": options.image.reference,
        "args": ["sleep"],
        "resources": resources(cpu="1m", memory="12Mi", memory_limit="32Mi"),
        "securityContext": container_security(runAsNonRoot=True, runAsUser=NONROOT, runAsGroup=NONROOT),
    }


def _volumes(options: Options) -> list[Object]:
    token = {"serviceAccountToken": {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}}
    return [
        host_mounts.socket_volume(options.cri_socket),
        {"name": "image-list", "configMap": {"name": options.name}},
        api_token_volume("api-token"),
        *([{"name": "metrics-token", "projected": {"sources": [token]}}] if options.collect_metrics else []),
        *(
            {"name": _secret_volume(number), "secret": {"secretName": name, "defaultMode": 0o400}}
            for number, name in enumerate(options.secrets)
        ),
        *host_mounts.credential_volumes(options.credentials),
    ]


def _secret_volume(number: int) -> str:
    """Volumes have shorter names than Secrets can have."""
    return f"pull-secret-{number}"


def _toleration(taint: Toleration) -> Object:
    return {
        **({"key": taint.key} if taint.key else {}),
        "operator": "Exists" if taint.value is None else "Equal",
        **({"value": taint.value} if taint.value is not None else {}),
        **({"effect": taint.effect} if taint.effect else {}),
    }
