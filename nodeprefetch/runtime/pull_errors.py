"""Classifies the texts of pull errors of containerd, CRI-O and Docker, by parsing them from the left.

A text is a chain: `what was done: what that did: what went wrong`. The first links are the runtime's own words. Names
(image, host, URL, file) are quoted or contain no spaces, and a server's message comes last. So the links are removed
one by one, and the first words of the rest decide (see `error_words`). Nothing is searched for in the middle, and what
follows those words is ignored: neither the name of an image nor a server's message decides anything. Only a registry
that throttles is listened to about how long to wait (see `throttle_words`).

Two cases are ambiguous. Plain HTTP to a TLS server may end like any reset connection, and is retried. And if a message
could have closed the bracket around the errors of mirrors, the error is unknown.

Observed on containerd 1.6.20, 1.7.35 and 2.4.2 (transfer service and local pulls) and on CRI-O 1.37.0. The texts of
older CRI-O versions and of Docker with cri-dockerd are from public reports.
"""

import itertools
import re
from dataclasses import dataclass, replace

import msgspec

from nodeprefetch.runtime import error_words
from nodeprefetch.runtime.error_words import QUOTED, Words
from nodeprefetch.runtime.faults import Fault, FaultClass
from nodeprefetch.runtime.throttle_words import with_wait

_STATUS = re.compile(
    r"(?:(?:pulling from host \S+ failed with status code \[[^]\s]+ [^]\s]+\]"
    r"|unexpected status from [A-Z]+ request to \S+"
    r"|unexpected status code (?:\[[^]\s]+ [^]\s]+\]|\S+)"
    r"|(?:received )?unexpected (?:HTTP )?status"
    r"|StatusCode): |invalid status code from registry |error parsing HTTP )(\d{3})(?!\d)"
)
"""An HTTP status as reported by a runtime. What follows the number is from the server."""

_STATUS_OF_REQUEST = re.compile(r"(?:received unexpected HTTP status: |error parsing HTTP )(\d{3})(?!\d)")
"""As reported by Docker. Other words after a request may be from a proxy."""

_NO_STATUS = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class _Zone:
    """A part of the text, by its author."""

    links: re.Pattern[str]
    """The links that can occur here; the matching group names the next zone, `on` is this one."""
    words: Words
    """First words that decide."""
    endings: Words = ()
    """Last words that decide if no first ones match; only in zones without text from a server."""
    status: re.Pattern[str] = _NO_STATUS
    """An HTTP status that can occur here."""


_REQUEST = rf"(?:Get|Head|Post|Put) (?:{QUOTED}|https?://\S+): "
_FILE_WORK = r"(?:write|open|mkdir|link|symlink|rename|mknod|sync|truncate) (?!tcp |udp )"
_SNAPSHOT_WORK = r"(?:prepare extraction|commit) snapshot"

_RUNTIME_LINKS = re.compile(
    rf"(?:[Ee]rror )?(?:(?P<node>failed to pull and unpack image {QUOTED}: |get image config descriptor: )"
    rf"|(?P<resolve>failed to resolve (?:reference {QUOTED}|image): )"
    r"|(?P<on>unable to pull image(?: or OCI artifact: pull image err)?: "
    rf"|failed to get credentials for {QUOTED}: "
    r"|failed to (?:copy|authorize|do request): "
    r"|failed to unpack image on snapshotter \S+: "
    r"|unable to retrieve auth token: |pinging (?:container|docker) registry \S+: "
    rf"|parsing image configuration: |(?:reading|writing) blob(?: \S+)?: |storing blob to file {QUOTED}: "
    r"|happened during read: |\(heuristic tuning data: [^)]*\): "
    r"|adding layer with blob \S+: |trying to reuse blob \S+ at destination: "
    r"|choosing an image from manifest list \S+: |determining manifest MIME type for \S+: "
    r"|download failed after attempts=\d+: "
    r"|(?:initializing|copying|copy|unable to copy)(?: image)? (?:from )?source \S+: )"
    r"|(?P<token>failed to fetch (?:oauth|anonymous) token: |Requesting bear(?:er)? token: )"
    r"|(?P<registry>reading manifest \S+ in \S+: |checking whether a blob \S+ exists in \S+: )"
    r"|(?P<blob>httpReadSeeker: failed open: )|(?P<fetched>fetching blob: )"
    rf"|(?P<network>{_REQUEST})"
    rf"|(?P<unpack>failed to extract layer |(?:failed|unable) to {_SNAPSHOT_WORK})"
    r"|(?P<untar>unpacking failed |processing tar file\()"
    rf"|(?P<file>{_FILE_WORK})"
    r"|(?P<mirrors>\(Mirrors also failed: \[)|(?P<errors>errors:\n)"
    # For other versions: plain words, perhaps with a quoted name.
    rf"|(?P<other>[A-Za-z][A-Za-z ]{{2,60}}+(?:{QUOTED})?: ))"
)
_REQUEST_LINKS = re.compile(rf"(?P<network>{_REQUEST}|proxyconnect \w+: )|(?P<errors>errors:\n)")
_LINE = re.compile(r"(?P<on>[^\n]*\n)")
_NO_LINKS = re.compile(r"(?!)")

_OF_RUNTIME = (
    *error_words.RUNTIME_WORDS,
    *error_words.STREAM_WORDS,
    *error_words.REGISTRY_WORDS,
    *error_words.DOCUMENT_WORDS,
)
_OF_REGISTRY = (*error_words.REGISTRY_WORDS, *error_words.DOCUMENT_WORDS, *error_words.STREAM_WORDS)
_RUNTIME = _Zone(_RUNTIME_LINKS, _OF_RUNTIME, status=_STATUS)
_ZONES = {
    "node": replace(_RUNTIME, endings=error_words.NODE_ENDINGS),
    "resolve": _RUNTIME,
    "mirrors": _RUNTIME,
    "token": replace(_RUNTIME, words=(*error_words.TOKEN_WORDS, *_OF_RUNTIME)),
    "registry": _Zone(_REQUEST_LINKS, _OF_REGISTRY, status=_STATUS),
    "blob": replace(_RUNTIME, words=(*error_words.BLOB_WORDS, *_OF_RUNTIME), endings=error_words.BLOB_ENDINGS),
    "fetched": _Zone(_REQUEST_LINKS, (*error_words.BLOB_WORDS, *_OF_REGISTRY), status=_STATUS),
    "network": _Zone(
        _REQUEST_LINKS,
        (*error_words.NETWORK_WORDS, *error_words.REGISTRY_WORDS),
        error_words.ANY_NETWORK,
        _STATUS_OF_REQUEST,
    ),
    "errors": _Zone(_LINE, error_words.NAMED_ERRORS),
    "file": _Zone(_NO_LINKS, (), error_words.FILE_ENDINGS),
    "unpack": _Zone(_NO_LINKS, error_words.UNPACK_WORDS, error_words.UNPACK_ENDINGS),
    "untar": _Zone(_NO_LINKS, (), error_words.UNTAR_ENDINGS),
}

_MOST_LINKS = 50  # real texts have ten; limits the time for crafted ones
_LONGEST_ENDING = 200
_END_OF_MIRRORS = re.compile(r"\]\): \S+: ")


_ENVELOPE = "OCI artifact: pull image err: "
_LATER_FROM_A_MIRROR = {"dns", "tls", "clock"}
"""Reasons that are final, unless the registry has mirrors: in a closed network only those are reachable."""


def read_pull_error(text: str) -> Fault | None:
    """Classify the text of a failed PullImage call; None if it is unknown.

    Takes time in proportion to the length of the text.
    """
    if _ENVELOPE in text[:_LONGEST_ENDING]:
        # CRI-O tries the name again as an artifact; the error about the image comes first.
        text = text.partition("; artifact err: ")[0]
    text = text.rstrip()
    passed: set[str] = set()
    fault = _read(text, passed)
    if fault is None:
        return None
    if "mirrors" in passed and fault.reason in _LATER_FROM_A_MIRROR:
        return Fault(kind=FaultClass.PASSING, reason=fault.reason)
    if "blob" in passed and not passed & {"token", "network"}:
        # A cache in front of the registry may refuse to continue a download, with any status.
        return msgspec.structs.replace(
            fault, discards_partial=fault.discards_partial or fault.kind in {FaultClass.REFUSED, FaultClass.PERMANENT}
        )
    return fault


def _read(text: str, passed: set[str]) -> Fault | None:
    """Walk along the links; `passed` gets the names of those that lead into another zone."""
    zone, position = _RUNTIME, 0
    for _ in range(_MOST_LINKS):
        status = zone.status.match(text, position)
        if status:
            return _heard(_by_status(int(status.group(1)), passed), text[status.end() :])
        for pattern, fault in zone.words:
            if words := pattern.match(text, position):
                return _heard(fault, text[words.end() :])
        link = zone.links.match(text, position)
        if link is None or link.lastgroup is None:
            break
        position = link.end()
        if link.lastgroup == "mirrors":
            position = _after_mirrors(text, position)
            if not position:
                return None
        if link.lastgroup not in {"on", "other"}:
            zone = _ZONES[link.lastgroup]
            passed.add(link.lastgroup)
    tail = max(position - len(": "), len(text) - _LONGEST_ENDING, 0)
    for pattern, fault in zone.endings:
        if pattern.search(text, tail):
            return fault
    return None


def _heard(fault: Fault | None, message: str) -> Fault | None:
    """Add what the registry's message says about when to come back. It decides nothing else."""
    return with_wait(fault, message) if fault is not None and fault.throttles else fault


def _after_mirrors(text: str, position: int) -> int:
    """Return where the error of the primary registry begins; 0 if a server's message makes that ambiguous."""
    ends = [end.end() for end in itertools.islice(_END_OF_MIRRORS.finditer(text, position), 2)]
    return ends[0] if len(ends) == 1 else 0


def _by_status(status: int, passed: set[str]) -> Fault | None:
    """Classify an HTTP status, RFC 9110 section 15. A 404 for a token or a blob says nothing about the image.

    Token endpoints reject expired credentials with 400: RFC 6749, section 5.2.
    """
    named = {
        400: error_words.UNAUTHORIZED if "token" in passed else error_words.CLIENT_ERROR,
        401: error_words.UNAUTHORIZED,
        403: error_words.DENIED,
        404: error_words.NOT_FOUND,
        408: error_words.TIMEOUT,
        416: error_words.BAD_RANGE,
        425: error_words.RATE_LIMITED,
        429: error_words.RATE_LIMITED,
        503: error_words.UNAVAILABLE,
    }
    if status == 404 and "token" in passed:  # noqa: PLR2004
        return error_words.CLIENT_ERROR
    if status == 404 and passed & {"blob", "fetched"}:  # noqa: PLR2004
        return error_words.BLOB_MISSING
    if status in named:
        return named[status]
    if 500 <= status <= 599:  # noqa: PLR2004 - the class of server errors
        return error_words.SERVER_ERROR
    return error_words.CLIENT_ERROR if 400 <= status <= 499 else None  # noqa: PLR2004
