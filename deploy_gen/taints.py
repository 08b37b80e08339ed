"""Reads labels of nodes, and taints in the notation of `kubectl taint`."""

from deploy_gen import checks
from deploy_gen.options import Taint, Toleration
from deploy_gen.problems import InputError

_MANAGED = ("node.kubernetes.io", "node.cloudprovider.kubernetes.io")
"""Prefixes of taints that `fetch` does not remove, such as `node.kubernetes.io/not-ready`."""

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def label(text: str) -> tuple[str, str]:
    """Read KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} must be KEY=VALUE")
    return checks.label_key(key), checks.label_value(value)


def taint(text: str) -> Taint:
    """Read KEY[=VALUE][:EFFECT], as `fetch --remove-taint` does."""
    key, value, effect = _parts(text)
    if key.partition("/")[0] in _MANAGED and "/" in key:
        raise InputError(f"invalid taint {text!r}: Kubernetes itself sets and removes it")
    return Taint(key=checks.label_key(key), value=value, effect=effect)


def toleration(text: str) -> Toleration:
    """Read [KEY[=VALUE]][:EFFECT]: without a key, all taints."""
    key, value, effect = _parts(text)
    if not key and value is not None:
        raise InputError(f"invalid taint {text!r}: a value requires a key")
    return Toleration(key=checks.label_key(key) if key else "", value=value, effect=effect)


def _parts(text: str) -> tuple[str, str | None, str]:
    rest, colon, effect = text.rpartition(":")
    if not colon:
        rest, effect = text, ""
    if colon and effect not in EFFECTS:
        raise InputError(f"invalid taint {text!r}: the effect must be one of {', '.join(EFFECTS)}")
    key, equals, value = rest.partition("=")
    return key, checks.label_value(value) if equals else None, effect
