"""Checks single values by the rules of Kubernetes. Each function returns the value or raises `InputError`.

What passes needs no escaping in YAML, in a CEL expression or in a path.
"""

import math
import re
from pathlib import PurePosixPath

from deploy_gen.problems import InputError

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SERVICE_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?:Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|[eE][0-9]{1,2})?")
_RATE = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,6})?)/[smh]", re.ASCII)
_DURATION_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>h|m(?!s)|s|ms|us|µs|μs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PERCENT = re.compile(r"(?:[1-9][0-9]?|100)%")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_COUNT = re.compile(r"[0-9]{1,6}")
_SELINUX_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

_SUBDOMAIN_LIMIT = 253  # characters
_LONGEST_DURATION = 2**63 / 1e9  # seconds; Go counts nanoseconds in 63 bits
_PATH_LIMIT = 1024  # bytes; Kubernetes sets no limit for hostPath, the kernel's is 4096


def dns_label(text: str) -> str:
    """Check a DNS label (RFC 1123), such as the name of a namespace."""
    if not _DNS_LABEL.fullmatch(text):
        raise InputError(
            f"invalid name {text!r}: must be 1 to 63 lower-case letters, digits and '-', and begin and end with a "
            f"letter or digit"
        )
    return text


def dns_subdomain(text: str) -> str:
    """Check a DNS subdomain (RFC 1123), the name of most objects, such as Secrets."""
    if len(text) > _SUBDOMAIN_LIMIT or not _DNS_SUBDOMAIN.fullmatch(text):
        raise InputError(
            f"invalid name {text!r}: must be lower-case letters, digits, '-' and '.', with a letter or digit at both "
            f"ends and next to each '.', at most {_SUBDOMAIN_LIMIT} characters and 63 between dots"
        )
    return text


def is_service_name(text: str) -> bool:
    """Whether the text is a valid name of a Service (RFC 1035)."""
    return _SERVICE_NAME.fullmatch(text) is not None


def label_key(text: str) -> str:
    """Check the key of a label or taint, `[PREFIX/]NAME`."""
    prefix, slash, name = text.rpartition("/")
    if not _QUALIFIED.fullmatch(name) or (slash and not _is_subdomain(prefix)):
        raise InputError(f"invalid label key {text!r} (expected NAME or PREFIX/NAME, e.g. example.com/pool)")
    return text


def is_label_value(text: str) -> bool:
    """Whether the text is a valid value of a label, which may be empty."""
    return not text or _QUALIFIED.fullmatch(text) is not None


def label_value(text: str) -> str:
    """Check the value of a label or taint."""
    if not is_label_value(text):
        raise InputError(
            f"invalid label value {text!r}: must be up to 63 letters, digits, '-', '_' and '.', and begin and end with "
            f"a letter or digit"
        )
    return text


def absolute_path(text: str) -> str:
    """Check a path of the node that is also used in the container, where `mountPath` must not contain ':'."""
    parts = PurePosixPath(text).parts
    if not text.startswith("/") or text.startswith("//") or str(PurePosixPath(text)) == "/":
        raise InputError(f"invalid path {text!r}: must be absolute and not the root directory")
    if ".." in parts or ":" in text or not text.isprintable() or len(text.encode()) > _PATH_LIMIT:
        raise InputError(
            f"invalid path {text!r}: must not contain '..', ':' or unprintable characters or exceed {_PATH_LIMIT} bytes"
        )
    return str(PurePosixPath(text))


def socket_path(text: str) -> str:
    """Check the path of a socket, with or without `unix://`. Its directory is mounted, so it cannot be the root."""
    path = absolute_path(text.removeprefix("unix://"))
    if text.endswith("/") or str(PurePosixPath(path).parent) == "/":
        raise InputError(f"invalid socket path {text!r}: must be a file in a directory other than the root")
    return path


def quantity(text: str) -> str:
    """Check a size greater than 0."""
    match = _QUANTITY.fullmatch(text)
    if match is None or float(match["number"]) == 0:
        raise InputError(f"invalid size {text!r} (expected e.g. 1Gi or 500Mi)")
    return text


def max_unavailable(text: str) -> int | str:
    """Check how many pods may be replaced at once. The API server rejects 0."""
    if _PERCENT.fullmatch(text):
        return text
    if not _NUMBER.fullmatch(text):
        raise InputError(f"invalid number {text!r}: must be 1 or more, or a percentage from 1% to 100%")
    return int(text)


def node_count(text: str) -> int:
    """Check a number of nodes, which may be 0."""
    if not _COUNT.fullmatch(text):
        raise InputError(f"invalid number {text!r}: must be 0 or more")
    return int(text)


def selinux_type(text: str) -> str:
    """Check the type of an SELinux label."""
    if not _SELINUX_TYPE.fullmatch(text):
        raise InputError(f"invalid SELinux type {text!r} (expected e.g. spc_t)")
    return text


def duration(text: str) -> int:
    """Check a duration in Go's notation. Returns seconds, rounded up."""
    signless = text.removeprefix("+")
    position, seconds = 0, 0.0
    while part := _DURATION_PART.match(signless, position):
        seconds += float(part["number"]) * _SECONDS[part["unit"]]
        position = part.end()
    if signless != "0" and (not signless or position < len(signless)):
        raise InputError(f"invalid duration {text!r} (expected e.g. 1m30s or 45s)")
    if seconds > _LONGEST_DURATION:
        raise InputError(f"invalid duration {text!r}: must not exceed 292 years")
    return math.ceil(seconds)


def any_duration(text: str) -> str:
    """Check a duration in Go's notation, which may be nothing."""
    duration(text)
    return text


def interval(text: str) -> str:
    """Check a duration in Go's notation that is longer than nothing."""
    if duration(text) == 0:
        raise InputError(f"invalid duration {text!r}: must be greater than 0")
    return text


def rate(text: str) -> str:
    """Check a number of requests per second, minute or hour, as `fetch` parses it."""
    form = _RATE.fullmatch(text)
    if form is None or not float(form["number"]):
        raise InputError(f"invalid rate {text!r} (expected e.g. 700/s or 44000/m)")
    return text


def plain_text(text: str) -> str:
    """Check that a text is valid UTF-8, as arguments of a program can be any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!a} is not valid UTF-8") from None
    return text


def _is_subdomain(text: str) -> bool:
    return len(text) <= _SUBDOMAIN_LIMIT and _DNS_SUBDOMAIN.fullmatch(text) is not None
