"""Checks of single values, by the rules of Kubernetes. Each returns the value and raises `InputError` with the rule.

Nothing that these let through can stand for anything but itself in YAML, in a CEL expression or in a path.
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
_DURATION_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>h|m(?!s)|s|ms|us|µs|μs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PERCENT = re.compile(r"(?:[1-9][0-9]?|100)%")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_SELINUX_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

_SUBDOMAIN_LIMIT = 253  # characters
_LONGEST_DURATION = 2**63 / 1e9  # seconds; Go counts nanoseconds in 63 bits
_PATH_LIMIT = 1024  # bytes; hostPath has no limit of its own, the kernel's is 4096


def dns_label(text: str) -> str:
    """RFC 1123: what namespaces are called."""
    if not _DNS_LABEL.fullmatch(text):
        raise InputError(f"{text!r} has to be 1 to 63 lower-case letters, digits and '-', not '-' at its ends")
    return text


def dns_subdomain(text: str) -> str:
    """RFC 1123: what most objects are called, such as Secrets."""
    if len(text) > _SUBDOMAIN_LIMIT or not _DNS_SUBDOMAIN.fullmatch(text):
        raise InputError(
            f"{text!r} has to be lower-case letters, digits, '-' and '.', a letter or digit at the ends and beside "
            f"each '.', at most {_SUBDOMAIN_LIMIT} characters and 63 between two '.'"
        )
    return text


def is_service_name(text: str) -> bool:
    """Whether a Service can be called so (RFC 1035)."""
    return _SERVICE_NAME.fullmatch(text) is not None


def label_key(text: str) -> str:
    """`[PREFIX/]NAME`, the key of a label or of a taint."""
    prefix, slash, name = text.rpartition("/")
    if not _QUALIFIED.fullmatch(name) or (slash and not _is_subdomain(prefix)):
        raise InputError(f"{text!r} is no key of a label: NAME or PREFIX/NAME, such as example.com/pool")
    return text


def is_label_value(text: str) -> bool:
    """Whether a label's value may be this; it may be empty."""
    return not text or _QUALIFIED.fullmatch(text) is not None


def label_value(text: str) -> str:
    """The value of a label or of a taint."""
    if not is_label_value(text):
        raise InputError(
            f"{text!r} is no value of a label: up to 63 letters, digits, '-', '_', '.', a letter or digit at its ends"
        )
    return text


def absolute_path(text: str) -> str:
    """A path of the node that can also be one of the container (`mountPath` holds no ':')."""
    parts = PurePosixPath(text).parts
    if not text.startswith("/") or text.startswith("//") or str(PurePosixPath(text)) == "/":
        raise InputError(f"{text!r} has to be an absolute path, and not the root")
    if ".." in parts or ":" in text or not text.isprintable() or len(text.encode()) > _PATH_LIMIT:
        raise InputError(f"{text!r} has '..', ':', something unprintable, or more than {_PATH_LIMIT} bytes in it")
    return str(PurePosixPath(text))


def socket_path(text: str) -> str:
    """The path of a socket, with or without `unix://`; its directory is mounted, which cannot be the root."""
    path = absolute_path(text.removeprefix("unix://"))
    if text.endswith("/") or str(PurePosixPath(path).parent) == "/":
        raise InputError(f"{text!r} has to be the path of a socket, in a directory that can be mounted")
    return path


def quantity(text: str) -> str:
    """A size of more than nothing."""
    match = _QUANTITY.fullmatch(text)
    if match is None or float(match["number"]) == 0:
        raise InputError(f"{text!r} is no size: write it like 1Gi or 500Mi")
    return text


def max_unavailable(text: str) -> int | str:
    """How many pods may be replaced at once: 0 would be none, and is refused by the API server."""
    if _PERCENT.fullmatch(text):
        return text
    if not _NUMBER.fullmatch(text):
        raise InputError(f"{text!r} has to be a number from 1, or a percentage from 1% to 100%")
    return int(text)


def selinux_type(text: str) -> str:
    """The type of an SELinux label."""
    if not _SELINUX_TYPE.fullmatch(text):
        raise InputError(f"{text!r} is no SELinux type: one is spc_t")
    return text


def duration(text: str) -> int:
    """A duration as Go writes it. Returns seconds, rounded up."""
    signless = text.removeprefix("+")
    position, seconds = 0, 0.0
    while part := _DURATION_PART.match(signless, position):
        seconds += float(part["number"]) * _SECONDS[part["unit"]]
        position = part.end()
    if signless != "0" and (not signless or position < len(signless)):
        raise InputError(f"{text!r} is no duration: write it like 1m30s or 45s")
    if seconds > _LONGEST_DURATION:
        raise InputError(f"{text!r} is longer than 292 years")
    return math.ceil(seconds)


def plain_text(text: str) -> str:
    """Text that UTF-8 can hold; an argument of a program can be other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!a} is not UTF-8") from None
    return text


def _is_subdomain(text: str) -> bool:
    return len(text) <= _SUBDOMAIN_LIMIT and _DNS_SUBDOMAIN.fullmatch(text) is not None
