"""What to do about an image that is missing: one line for each reason, with the section of the documentation."""

from typing import NamedTuple

PAGE = "docs/troubleshooting.md"


class _Remedy(NamedTuple):
    text: str
    section: str
    """Anchor of a heading of `PAGE`."""


_NOT_FOUND = "the-registry-does-not-have-the-image"
_CREDENTIALS = "no-credential-is-accepted"
_REJECTED = "the-name-or-the-request-is-rejected"
_UNUSABLE = "the-image-cannot-be-used-on-this-node"
_CERTIFICATE = "the-certificate-is-not-trusted"
_NETWORK = "the-registry-or-the-network-fails"
_TIMEOUT = "attempts-time-out"
_THROTTLED = "the-registry-throttles"
_DAMAGED = "data-of-the-image-is-missing-or-damaged"
_DISK = "the-disk-is-full"
_RUNTIME = "the-runtime-fails"

_CHECK_LOGIN = "check which credentials match the image, and whether they are valid"
_CHECK_NETWORK = "check the way from the nodes to the registry, and the registry itself"
_LOST_DATA = _Remedy("wait for the retries; if it repeats, check the registry and the mirrors in front of it", _DAMAGED)
_WAIT_FOR_RUNTIME = _Remedy("check the container runtime on the node", _RUNTIME)

REMEDIES: dict[str, _Remedy] = {
    "not_found": _Remedy("push the image, correct its name, or grant its account access", _NOT_FOUND),
    "unauthorized": _Remedy(_CHECK_LOGIN, _CREDENTIALS),
    "denied": _Remedy(_CHECK_LOGIN, _CREDENTIALS),
    "bad_credential": _Remedy("create the pull secret again: the runtime cannot read it", _CREDENTIALS),
    "bad_name": _Remedy("correct the name of the image", _REJECTED),
    "invalid_argument": _Remedy("correct the name of the image", _REJECTED),
    "client_error": _Remedy("correct the name of the image; the error is the registry's", _REJECTED),
    "message_too_large": _Remedy("update the container runtime", _REJECTED),
    "unimplemented": _Remedy("update the container runtime", _REJECTED),
    "no_platform": _Remedy("build the image for the architecture of the node", _UNUSABLE),
    "bad_manifest": _Remedy("build and push the image again", _UNUSABLE),
    "bad_layer": _Remedy("build and push the image again", _UNUSABLE),
    "old_manifest": _Remedy("build and push the image again, with a current tool", _UNUSABLE),
    "large_manifest": _Remedy("build the image with fewer annotations", _UNUSABLE),
    "digest_algorithm": _Remedy("update the container runtime, or push the image with sha256 digests", _UNUSABLE),
    "encrypted": _Remedy("configure decryption and its keys in the container runtime", _UNUSABLE),
    "not_unpacked": _Remedy("check the container runtime's log for the snapshotter of the runtime handler", _UNUSABLE),
    "signature": _Remedy("sign the image, or correct the node's signature policy", _UNUSABLE),
    "artifact": _Remedy("remove it from the list: it is not a container image", _UNUSABLE),
    "tls": _Remedy("configure the registry's certificate authority in the container runtime", _CERTIFICATE),
    "clock": _Remedy("check the time synchronization of the node", _CERTIFICATE),
    "connection": _Remedy(_CHECK_NETWORK, _NETWORK),
    "server_error": _Remedy("check the registry", _NETWORK),
    "stream_reset": _Remedy(_CHECK_NETWORK, _NETWORK),
    "protocol": _Remedy(_CHECK_NETWORK, _NETWORK),
    "dns": _Remedy("check the registry's host name, and the DNS server that the node uses", _NETWORK),
    "token_expired": _Remedy("wait for the next attempt, which gets a new token", _NETWORK),
    "not_a_registry": _Remedy(
        "check for a proxy, a sign-in page or another server at the registry's address", _NETWORK
    ),
    "stalled": _Remedy(_CHECK_NETWORK, _TIMEOUT),
    "timeout": _Remedy("set longer attempt timeouts, or check the network and the disk of the node", _TIMEOUT),
    "rate_limited": _Remedy("log in to the registry, use a mirror, or let fewer nodes pull at once", _THROTTLED),
    "blob_missing": _LOST_DATA,
    "bad_digest": _LOST_DATA,
    "bad_range": _LOST_DATA,
    "content_gone": _LOST_DATA,
    "lease_gone": _LOST_DATA,
    "locked": _LOST_DATA,
    "store_damaged": _Remedy("remove the image on the node and restart its runtime, or replace the node", _DAMAGED),
    "no_space": _Remedy("free disk space on the node, or shorten the list", _DISK),
    "runtime_gone": _WAIT_FOR_RUNTIME,
    "runtime_starting": _WAIT_FOR_RUNTIME,
    "runtime_error": _WAIT_FOR_RUNTIME,
    "resource_exhausted": _WAIT_FOR_RUNTIME,
    "no_runtime": _Remedy("check the container runtime on the node", "no-container-runtime-exit-code-3"),
    "cancelled": _Remedy("wait for the next run, or set a longer --overall-timeout", "an-image-fails"),
    "unknown": _Remedy("report the error", "report-an-unrecognized-error"),
}
"""By the reason of the last error."""

_BY_CLASS = {
    "permanent": "client_error",
    "refused": "unauthorized",
    "no-space": "no_space",
    "runtime-gone": "runtime_gone",
    "passing": "connection",
    "cancelled": "cancelled",
}
"""Reasons that stand for one that this version does not know."""


def advice(error_class: str, reason: str) -> str:
    """What to do about an image that is missing for this reason: one line; empty if the reason is empty.

    Args:
        error_class: value of a `FaultClass`, or `cancelled`.
        reason: of the fault.
    """
    if not reason and not error_class:
        return ""
    remedy = REMEDIES.get(reason) or REMEDIES[_BY_CLASS.get(error_class, "unknown")]
    return f"{remedy.text} ({PAGE}#{remedy.section})"
