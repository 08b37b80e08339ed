"""What is written onto a node: the label's key and value, the annotation's key and text. Pure functions.

A label key is `prefix/name`, as Kubernetes has it: the prefix a DNS subdomain of up to 253 characters, the name up to
63 of `A-Z a-z 0-9 - _ .` that begins and ends with a letter or digit. Annotation keys have the same form.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from nodeprefetch.errors import UsageError
from nodeprefetch.events import ImageFinished, Outcome, RunFinished

DEFAULT_PREFIX = "nodeprefetch.io"
SUCCEEDED, FAILED = "succeeded", "failed"

NAME_LIMIT, PREFIX_LIMIT = 63, 253
"""Characters."""

SUMMARY_SUFFIX = ".summary"
NAMELESS = "prefetcher"
"""What is readable of a name in which nothing is; the older tool's word."""

TEXT_LIMIT = 500
"""Characters of an image's name and of its error in the annotation: all annotations of a node share 256 KiB."""

_HASH_LENGTH = 10
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LOOKS_HASHED = re.compile(rf"_[0-9a-f]{{{_HASH_LENGTH}}}\Z")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def check_prefix(prefix: str) -> str:
    """The prefix as given.

    Raises:
        UsageError: it is no DNS subdomain (RFC 1123, lower case), so that every label would be refused.
    """
    if len(prefix) > PREFIX_LIMIT or not all(_DNS_LABEL.match(part) for part in prefix.split(".")):
        problem = (
            f"--node-label-prefix: {prefix!r} is no DNS subdomain: lower-case letters, digits, '-' and '.', "
            f"at most {PREFIX_LIMIT} characters, such as {DEFAULT_PREFIX}"
        )
        raise UsageError([problem])
    return prefix


def label_key(prefix: str, instance: str) -> str:
    """Key of the instance's label. Different instances have different keys."""
    return f"{prefix}/{fit(instance, NAME_LIMIT)}"


def summary_key(prefix: str, instance: str) -> str:
    """Key of the annotation beside it. Different instances have different keys."""
    return f"{prefix}/{fit(instance, NAME_LIMIT - len(SUMMARY_SUFFIX))}{SUMMARY_SUFFIX}"


def fit(name: str, limit: int) -> str:
    """The name itself where it fits; otherwise what is readable of it, `_`, and ten hexadecimal digits of its hash.

    What is readable is found as the older tool does it: each run of other characters becomes one `-`, the rest is cut
    and loses `.`, `_` and `-` at its ends. That alone would give two names one key, so whatever it changes gets the
    hash. A name that happens to end as if it had one gets one too: without it, it could be taken for another's.

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


def label_value(finished: RunFinished | None) -> str:
    """`succeeded` when the run came to its end and every image is present, else `failed`."""
    return SUCCEEDED if finished is not None and not finished.failed else FAILED


class FirstFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The image that failed first."""

    image: str
    error: str


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The annotation's text, as JSON. New fields may come; these stay."""

    result: str
    """As the label says."""

    end: str
    """`finished`, `timed-out`, `stopped`, `no-runtime`; `not-started` when the run told no end."""

    images: int
    succeeded: int
    present: int
    failed: int
    time: str
    """RFC 3339, UTC."""

    version: str
    """Of the program that ran."""

    first_failure: FirstFailure | None = None


@dataclass(slots=True)
class Tally:
    """What a run's outcomes come to, image by image."""

    images: int = 0
    """How many the list has."""

    succeeded: int = 0
    present: int = 0
    failed: int = 0
    first_failure: FirstFailure | None = None

    def add(self, image: ImageFinished) -> None:
        """One more outcome."""
        match image.outcome:
            case Outcome.SUCCEEDED:
                self.succeeded += 1
            case Outcome.PRESENT:
                self.present += 1
            case _:
                self.failed += 1
                if self.first_failure is None:
                    self.first_failure = FirstFailure(image=_bounded(image.image), error=_bounded(image.error))


def summary_text(tally: Tally, finished: RunFinished | None, *, at: float, version: str) -> str:
    """The annotation: compact JSON of a `Summary`, at most a few kilobytes.

    Args:
        tally: the outcomes there are.
        finished: how the run ended; None: it never began to pull.
        at: Unix seconds.
        version: of this program.
    """
    summary = Summary(
        result=label_value(finished),
        end=finished.end if finished else "not-started",
        images=tally.images,
        succeeded=tally.succeeded,
        present=tally.present,
        failed=tally.failed,
        time=datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        version=version,
        first_failure=tally.first_failure,
    )
    return msgspec.json.encode(summary).decode()


def _bounded(text: str) -> str:
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1] + "…"
