"""Keys and values of the node's label and annotation. Pure functions.

In Kubernetes a label key is `prefix/name`: the prefix a DNS subdomain of up to 253 characters, the name up to 63 of
`A-Z a-z 0-9 - _ .`, beginning and ending with a letter or digit. Annotation keys have the same form.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from nodeprefetch.errors import UsageError
from nodeprefetch.report.run_result import FirstFailure, RunResult
from nodeprefetch.values.timestamp import format_timestamp

DEFAULT_PREFIX = "nodeprefetch.io"

PULLING: Mapping[str, str] = {"app.kubernetes.io/name": "nodeprefetch", "app.kubernetes.io/component": "fetch"}
"""Labels of the DaemonSets that pull, and of their pods, as `nodeprefetch-deploy` gives them."""

NAME_LIMIT, PREFIX_LIMIT = 63, 253
"""Characters."""

SUMMARY_SUFFIX = ".summary"
NAMELESS = "prefetcher"
"""Stands for a name without any valid character, as in image-prefetcher."""

_HASH_LENGTH = 10
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LOOKS_HASHED = re.compile(rf"_[0-9a-f]{{{_HASH_LENGTH}}}\Z")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def check_prefix(prefix: str) -> str:
    """Check the prefix, and return it.

    Raises:
        UsageError: it is not a DNS subdomain (RFC 1123, lowercase), so the API server would reject every label.
    """
    if len(prefix) > PREFIX_LIMIT or not all(_DNS_LABEL.match(part) for part in prefix.split(".")):
        problem = (
            f"--node-label-prefix: {prefix!r} must be a DNS subdomain: lowercase letters, digits, '-' and '.', "
            f"at most {PREFIX_LIMIT} characters (e.g. {DEFAULT_PREFIX})"
        )
        raise UsageError([problem])
    return prefix


def label_key(prefix: str, instance: str) -> str:
    """Key of the instance's label. Different instances have different keys."""
    return f"{prefix}/{fit(instance, NAME_LIMIT)}"


def summary_key(prefix: str, instance: str) -> str:
    """Key of the instance's annotation. Different instances have different keys."""
    return f"{prefix}/{fit(instance, NAME_LIMIT - len(SUMMARY_SUFFIX))}{SUMMARY_SUFFIX}"


def fit(name: str, limit: int) -> str:
    """The name itself if it is valid; otherwise its valid part, `_`, and ten hexadecimal digits of its hash.

    The valid part is found as image-prefetcher does it: each run of other characters becomes one `-`, the rest is
    shortened and loses `.`, `_` and `-` at its ends. That alone could give two names one key, so a name that changes
    gets the hash. So does a name that ends as if it had one: otherwise it could equal the key of another name.

    Args:
        name: any text; that of an environment variable may hold lone surrogates.
        limit: characters of the result, more than 11.
    """
    readable = _UNFIT.sub("-", name)[:limit].strip("._-")
    if name and readable == name and not _LOOKS_HASHED.search(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    head = readable[: limit - _HASH_LENGTH - 1].strip("._-") or NAMELESS
    return f"{head}_{digest}"


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The annotation, as JSON. Fields may be added; these stay."""

    result: str
    """Value of the label."""

    end: str
    """`finished`, `timed-out`, `stopped`, `no-runtime`; `not-started` if the run never began to pull."""

    images: int
    succeeded: int
    present: int
    failed: int
    time: str
    """RFC 3339, UTC."""

    version: str
    """Of the program that ran."""

    first_failure: FirstFailure | None = None
    gave_up: bool = False
    """The node takes pods although images are missing: `--gate-timeout` was over."""

    list_digest: str = ""
    """Identifies the image list (`values.image_list.list_digest`); empty if the run never began to pull."""


def read_summary(text: str) -> Summary | None:
    """Read the annotation. None: it is absent, another version's, or another program's."""
    try:
        return msgspec.json.decode(text, type=Summary)
    except (ValueError, RecursionError):
        return None


def summary_text(result: RunResult, *, at: float, version: str) -> str:
    """The annotation: compact JSON of a `Summary`, at most a few kilobytes.

    Args:
        result: of the run.
        at: Unix seconds.
        version: of this program.
    """
    summary = Summary(
        result=result.value,
        end=result.finished.end if result.finished else "not-started",
        images=result.images,
        succeeded=result.succeeded,
        present=result.present,
        failed=result.failed,
        time=format_timestamp(at),
        version=version,
        first_failure=result.first_failure,
        gave_up=result.gave_up,
        list_digest=result.list_digest,
    )
    return msgspec.json.encode(summary).decode()
