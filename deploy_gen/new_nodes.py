"""Builds what keeps new nodes closed until they have their images: arguments, tolerations, a volume, a readiness rule.

https://github.com/kubernetes-sigs/node-readiness-controller has the controller for such rules (v1alpha1).
"""

from deploy_gen.images import LIST_KEY, NEEDS_KEY
from deploy_gen.objects import FETCH, Object, mount, new_object
from deploy_gen.options import TOLERATE_ALL, Options, Taint, Toleration

READINESS = "readiness.node.x-k8s.io/v1alpha1"
TAINT_PREFIX = "readiness.k8s.io"
"""Of all taints that the controller manages."""

GATE_MOUNT = "/var/lib/nodeprefetch/gate"
_GATE_VOLUME = "gate"


def rule_name(name: str) -> str:
    """Name the rule of an installation, and its taint after the prefix."""
    return f"nodeprefetch-{name}"


def readiness_taint(options: Options) -> Taint:
    """Build the taint that the controller removes, and which nodes should be registered with."""
    return Taint(key=f"{TAINT_PREFIX}/{rule_name(options.name)}", effect="NoSchedule")


def readiness_rule(options: Options) -> Object:
    """Build the rule. It has the default of `dryRun` too, so that users can change it."""
    taint = readiness_taint(options)
    return {
        **new_object(READINESS, "NodeReadinessRule", rule_name(options.name), options, FETCH, is_of_cluster=True),
        "spec": {
            "conditions": [{"type": options.node_key, "requiredStatus": "True"}],
            "taint": {"key": taint.key, "effect": taint.effect},
            "enforcementMode": "bootstrap-only",
            "nodeSelector": {"matchLabels": node_labels(options)},
            "dryRun": False,
        },
    }


def node_labels(options: Options) -> dict[str, str]:
    """Labels of the nodes that the installation is for."""
    return {"kubernetes.io/os": "linux", **dict(options.node_selector)}


def tolerations(options: Options) -> list[Toleration]:
    """List the tolerations of fetch pods. Without one for each startup taint, no pod would ever remove it."""
    if TOLERATE_ALL in options.tolerations:
        return list(options.tolerations)
    taints = [*options.startup_taints, *([readiness_taint(options)] if options.readiness_rule else [])]
    ours = (Toleration(key=taint.key, value=taint.value, effect=taint.effect) for taint in taints)
    return list(dict.fromkeys([*options.tolerations, *ours]))


def gate_arguments(options: Options, list_mount: str) -> list[str]:
    """List the arguments of `fetch` and `keep`, in whose container the list is mounted there."""
    if not options.has_gate:
        return []
    return [
        *(["--node-condition"] if options.node_condition else []),
        *(f"--remove-taint={taint}" for taint in options.startup_taints),
        f"--gate-file={GATE_MOUNT}/first-run",
        *([f"--gate-timeout={options.gate_timeout}"] if options.gate_timeout else []),
        *([f"--gate-needs={list_mount}/{NEEDS_KEY}"] if options.gate_needs is not None else []),
    ]


def gate_mounts(options: Options) -> list[Object]:
    """Build the mount of the gate's volume."""
    return [mount(_GATE_VOLUME, GATE_MOUNT, read_only=False)] if options.has_gate else []


def gate_volumes(options: Options) -> list[Object]:
    """Build the volume that keeps the time of the pod's first run, as long as the pod exists."""
    return [{"name": _GATE_VOLUME, "emptyDir": {"sizeLimit": "1Mi"}}] if options.has_gate else []


def list_data(options: Options, images: str) -> dict[str, str]:
    """Build the content of the list's ConfigMap."""
    return {LIST_KEY: images, **({NEEDS_KEY: options.gate_needs} if options.gate_needs is not None else {})}
