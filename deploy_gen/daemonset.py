"""Builds the DaemonSet (`fetch` and then `sleep`, or `keep`), its mounts, and the ConfigMap of the list."""

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from deploy_gen.images import LIST_KEY
from deploy_gen.new_nodes import gate_arguments, gate_mounts, gate_volumes, list_data, node_labels, tolerations
from deploy_gen.objects import (
    FETCH,
    NONROOT,
    SERVICE_ACCOUNT_MOUNT,
    TOKEN_SECONDS,
    Object,
    api_token_volume,
    container_args,
    container_security,
    labels,
    metrics_name,
    mount,
    new_object,
    pull_secrets,
    resources,
    selector,
)
from deploy_gen.options import DIRECT, Options, Toleration
from deploy_gen.platforms import SUBMISSION_PORT, CredentialProviders
from deploy_gen.readiness import readiness_probe, ready_argument

SOCKET_MOUNT = "/run/nodeprefetch/cri"
DOWNLOADS_MOUNT = "/run/nodeprefetch/crio-downloads"
"""Where `fetch` looks by default for what CRI-O downloads."""

LIST_MOUNT = "/etc/nodeprefetch/list"
SECRETS_MOUNT = "/etc/nodeprefetch/pull-secrets"
METRICS_TOKEN_MOUNT = "/var/run/secrets/nodeprefetch"  # noqa: S105 - a path
AUDIENCE = "nodeprefetch"
"""Audience of the token for the aggregator, whose default it is."""

_WHY_ROOT = "fetch must run as root, which owns the socket of the container runtime"

_FILES = (".json", ".yaml", ".yml")
"""Suffixes of configuration files; a path without one is a directory."""


def socket_volume(socket: str) -> Object:
    """Build the volume with the socket's directory: a mounted socket would be stale once the runtime restarts.

    Type Directory makes the kubelet report a missing directory as an event. Without a type, a wrong flavor would
    create an empty directory on the node.
    """
    return _host_path("cri-socket-dir", str(PurePosixPath(socket).parent), "Directory")


def download_volumes(options: Options) -> list[Object]:
    """Build the volume with what CRI-O downloads. Its whole parent directory, as the names below are not known."""
    path = options.crio_download_dir
    return [_host_path("crio-downloads", path, "Directory")] if path else []


def credential_volumes(providers: CredentialProviders | None) -> list[Object]:
    """Build the volumes with credential providers of the node."""
    return [_host_path(name, path, kind) for name, path, kind in _paths(providers)]


def credential_mounts(providers: CredentialProviders | None) -> list[Object]:
    """Build their mounts, at the paths of the node, which configurations contain."""
    return [mount(name, path) for name, path, _ in _paths(providers)]


def _paths(providers: CredentialProviders | None) -> list[tuple[str, str, str]]:
    """List volume name, path and type. Omits what is in a directory of the list."""
    if providers is None:
        return []
    is_file = PurePosixPath(providers.config).suffix in _FILES
    wanted = [
        ("credential-provider-bin", providers.bin_dir, "Directory"),
        ("credential-provider-config", providers.config, "File" if is_file else "Directory"),
        *((f"credential-provider-file-{number}", path, "File") for number, path in enumerate(providers.files)),
    ]
    directories = [PurePosixPath(path) for _, path, kind in wanted if kind == "Directory"]
    by_path: dict[str, tuple[str, str, str]] = {}
    for name, path, kind in wanted:
        if not any(directory in PurePosixPath(path).parents for directory in directories):
            by_path.setdefault(path, (name, path, kind))
    return list(by_path.values())


def _host_path(name: str, path: str, kind: str) -> Object:
    return {"name": name, "hostPath": {"path": path, "type": kind}}


def image_list(options: Options, text: str) -> Object:
    """Build the ConfigMap."""
    return {**new_object("v1", "ConfigMap", options.name, options, FETCH), "data": list_data(options, text)}


def daemon_set(options: Options) -> Object:
    """Build the DaemonSet."""
    annotations: Object = {"ignore-check.kube-linter.io/run-as-non-root": _WHY_ROOT}
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
    annotations = {"kubectl.kubernetes.io/default-container": "keep" if options.keep else "prefetch"}
    if options.is_openshift:
        annotations["openshift.io/required-scc"] = "privileged"
    if options.images is not None and not options.keep:
        # A changed list changes the pod template, which triggers a rollout.
        lists = "\0".join(list_data(options, options.images).values())
        annotations["nodeprefetch.io/images-sha256"] = hashlib.sha256(lists.encode()).hexdigest()
    return annotations


def _pod(options: Options) -> Object:
    tolerated = tolerations(options)
    return {
        "serviceAccountName": options.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service nodeprefetch-… would set variables that `fetch` reads as flags
        **({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"} if options.host_network else {}),
        **({"priorityClassName": options.priority_class} if options.priority_class else {}),
        **pull_secrets(options),
        "nodeSelector": node_labels(options),
        **({"tolerations": [_toleration(one) for one in tolerated]} if tolerated else {}),
        "terminationGracePeriodSeconds": options.termination_grace,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **_containers(options),
        "volumes": _volumes(options),
    }


def _containers(options: Options) -> Object:
    """Build the containers. `keep` needs no `fetch` before it, which would ignore an edited list."""
    if options.keep:
        probe = {"readinessProbe": readiness_probe(options)}
        return {"containers": [{**_puller(options, "keep", _keep_command(options)), **probe}]}
    return {"initContainers": [_puller(options, "prefetch", ["fetch"])], "containers": [_sleep(options)]}


def _puller(options: Options, name: str, command: Sequence[str]) -> Object:
    selinux = {"seLinuxOptions": {"type": options.selinux_type}} if options.selinux_type else {}
    return {
        "name": name,
        "image": options.image.reference,
        "args": container_args([*command, *_fetch_arguments(options)]),
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "INSTANCE_NAME", "value": options.name},
        ],
        "resources": resources(cpu="20m", memory="48Mi", memory_limit="256Mi"),
        "securityContext": container_security(runAsUser=0, runAsGroup=0, **selinux),
        "volumeMounts": [
            mount("cri-socket-dir", SOCKET_MOUNT),
            *([mount("crio-downloads", DOWNLOADS_MOUNT)] if options.crio_download_dir else []),
            mount("image-list", LIST_MOUNT),
            mount("api-token", SERVICE_ACCOUNT_MOUNT),
            *([mount("metrics-token", METRICS_TOKEN_MOUNT)] if options.collect_metrics else []),
            *(mount(_secret_volume(number), f"{SECRETS_MOUNT}/{name}") for number, name in enumerate(options.secrets)),
            *credential_mounts(options.credentials),
            *gate_mounts(options),
        ],
    }


def _keep_command(options: Options) -> list[str]:
    intervals = {
        "--check-every": options.check_every,
        "--refresh-every": options.refresh_every,
        "--report-every": options.report_every,
    }
    return ["keep", ready_argument(options), *(f"{flag}={text}" for flag, text in intervals.items() if text)]


def _fetch_arguments(options: Options) -> list[str]:
    texts = [
        f"--image-list-file={LIST_MOUNT}/{LIST_KEY}",
        f"--cri-socket={SOCKET_MOUNT}/{PurePosixPath(options.cri_socket).name}",
        f"--node-label-prefix={options.node_label_prefix}",
        *([f"--node-access={options.node_access}"] if options.node_access != DIRECT else []),
        *([f"--for-pods={options.once_for}"] if options.once_for else []),
        *gate_arguments(options, LIST_MOUNT),
        *(f"--docker-config={SECRETS_MOUNT}/{name}" for name in options.secrets),
    ]
    if options.credentials:
        texts += [
            f"--image-credential-provider-config={options.credentials.config}",
            f"--image-credential-provider-bin-dir={options.credentials.bin_dir}",
        ]
    if options.collect_metrics:
        texts += [
            f"--metrics-endpoint={metrics_name(options)}:{SUBMISSION_PORT}",  # a pod looks in its own namespace
            f"--metrics-token-file={METRICS_TOKEN_MOUNT}/token",
        ]
    if options.pulling_nodes is not None:
        texts.append("--tickets")
    if options.spread:
        texts.append(f"--spread={options.spread}")
    if options.registry_rate:
        texts.append(f"--registry-rate={options.registry_rate}")
    if not options.events:
        texts.append("--no-events")
    if options.allow_failures:
        texts.append("--allow-failures")
    return [*texts, *options.fetch_args]


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
        socket_volume(options.cri_socket),
        *download_volumes(options),
        {"name": "image-list", "configMap": {"name": options.name}},
        api_token_volume("api-token"),
        *([{"name": "metrics-token", "projected": {"sources": [token]}}] if options.collect_metrics else []),
        *(
            {"name": _secret_volume(number), "secret": {"secretName": name, "defaultMode": 0o400}}
            for number, name in enumerate(options.secrets)
        ),
        *credential_volumes(options.credentials),
        *gate_volumes(options),
    ]


def _secret_volume(number: int) -> str:
    """Name a volume by number, as names of Secrets may be too long."""
    return f"pull-secret-{number}"


def _toleration(taint: Toleration) -> Object:
    return {
        **({"key": taint.key} if taint.key else {}),
        "operator": "Exists" if taint.value is None else "Equal",
        **({"value": taint.value} if taint.value is not None else {}),
        **({"effect": taint.effect} if taint.effect else {}),
    }
