"""What the texts of containerd's and CRI-O's pull errors mean, read from the left as the chains they are.

A text goes `what was done: what that did: what went wrong`. The links in front are the runtime's own words;
names (image, host, URL, file) stand in it quoted or without blanks; and what a server said comes last. So the
links are taken off one by one, and the first words of what remains decide. Nothing is searched for in the
middle, and what follows those words is not looked at: neither the name of an image nor a server's message
decides anything.

One case cannot be told apart: plain HTTP spoken to a TLS server may end as any reset connection, and passes.

Observed on containerd 1.6.20, 1.7.35 and 2.4.2 (transfer service and local pulls) and on CRI-O 1.37.0.
"""

import re
from dataclasses import dataclass

from nodeprefetch.runtime.faultclass import Fault, FaultClass

_QUOTED = r'"(?:[^"\\]|\\.)*+"'  # Go's %q: a quote inside is escaped


def _passing(reason: str, retries: int | None = None) -> Fault:
    return Fault(kind=FaultClass.PASSING, reason=reason, retries=retries)


def _permanent(reason: str, *, missing: bool = False) -> Fault:
    return Fault(kind=FaultClass.PERMANENT, reason=reason, missing=missing)


def _refused(reason: str) -> Fault:
    return Fault(kind=FaultClass.REFUSED, reason=reason)


_NO_SPACE = Fault(kind=FaultClass.NO_SPACE, reason="no_space")
_NOT_FOUND = _permanent("not_found", missing=True)
_UNAUTHORIZED, _DENIED = _refused("unauthorized"), _refused("denied")
_DNS_FEW_TIMES = 3  # a name that does not exist seldom begins to; but resolvers say so, too, while a node starts
_SERVER_ERROR, _TIMEOUT, _CONNECTION = _passing("server_error"), _passing("timeout"), _passing("connection")


@dataclass(frozen=True, slots=True)
class _Zone:
    """Who wrote what comes next."""

    links: re.Pattern[str]
    """The links that can come here; the group that matched names the zone behind it."""
    words: tuple[tuple[re.Pattern[str], Fault], ...]
    """First words that decide."""
    endings: tuple[tuple[re.Pattern[str], Fault], ...] = ()
    """Last words that decide where no first ones did: only where nothing of a server's can stand in between."""
    tells_status: bool = False
    """Whether an HTTP status may come here."""


def _table(*rows: tuple[str, Fault]) -> tuple[tuple[re.Pattern[str], Fault], ...]:
    return tuple((re.compile(pattern), fault) for pattern, fault in rows)


_STATUS = re.compile(
    r"(?:pulling from host \S+ failed with status code \[[^]\s]+ [^]\s]+\]"
    r"|unexpected status from [A-Z]+ request to \S+"
    r"|unexpected status code (?:\[[^]\s]+ [^]\s]+\]|\S+)"
    r"|(?:received )?unexpected (?:HTTP )?status"
    r"|StatusCode): (\d{3})(?!\d)"
)
"""An HTTP status as a runtime reports it. What follows the number is the server's."""

_GO_NETWORK = r"(?:write|read) (?:tcp|udp) \S+: "
_REQUEST = rf"(?:Get|Head|Post|Put) {_QUOTED}: "

_FILE_WORK = r"(?:write|open|mkdir|link|symlink|rename|mknod|sync|truncate|unpacking failed) (?!tcp |udp )"

_RUNTIME_LINKS = re.compile(
    rf"(?:Error )?(?:(?P<runtime>failed to pull and unpack image {_QUOTED}: "
    r"|unable to pull image(?: or OCI artifact: pull image err)?: "
    rf"|failed to get credentials for {_QUOTED}: "
    r"|failed to (?:copy|authorize|do request): "
    r"|httpReadSeeker: failed open: |get image config descriptor: "
    r"|failed to unpack image on snapshotter \S+: "
    r"|unable to retrieve auth token: |pinging container registry \S+: "
    rf"|parsing image configuration: |writing blob: |storing blob to file {_QUOTED}: "
    r"|happened during read: |\(heuristic tuning data: [^)]*\): "
    r"|adding layer with blob \S+: |trying to reuse blob \S+ at destination: "
    r"|choosing an image from manifest list \S+: "
    rf"|failed to resolve (?:reference {_QUOTED}|image): |initializing source \S+: )"
    r"|(?P<token>failed to fetch (?:oauth|anonymous) token: |Requesting bearer token: )"
    r"|(?P<registry>reading manifest \S+ in \S+: |fetching blob: |checking whether a blob \S+ exists in \S+: )"
    rf"|(?P<network>{_REQUEST})"
    rf"|(?P<unpack>failed to extract layer )|(?P<file>{_FILE_WORK})"
    # What other versions may put in front: plain words, perhaps with a name in quotes.
    rf"|(?P<other>[A-Za-z][A-Za-z ]{{2,60}}+(?:{_QUOTED})?: ))"
)

_BAD_MANIFEST = _permanent("bad_manifest")
_RUNTIME_WORDS = _table(
    (
        r"failed to parse image reference |cannot parse input: |invalid reference format",
        _permanent("bad_name"),
    ),
    (
        r"illegal base64 data at input byte |invalid decoded auth: |parse server address: ",
        _refused("bad_credential"),
    ),
    (r"pull access denied(?: for \S+)?, ", _DENIED),
    (r"(?:manifest for|repository) \S+ not found", _NOT_FOUND),
    (r"authorization failed|no basic auth credentials|invalid username/password: ", _UNAUTHORIZED),
    (r"too many requests to registry", _passing("rate_limited")),
    (r"RegistryUnavailable: ", _CONNECTION),
    (r"SignatureValidationFailed|Source image rejected: ", _permanent("signature")),
    (r"could not fetch content descriptor ", _passing("blob_missing", retries=1)),
    (r"no match for platform in manifest|no image found in |no matching manifest for ", _permanent("no_platform")),
    (
        r"unexpected media type |unable to fetch descriptor |no signatures|no FSLayers in manifest",
        _BAD_MANIFEST,
    ),
    (r"schema 1 image manifests are no longer supported|mismatched image rootfs and manifest", _BAD_MANIFEST),
    (r"unsupported image-specific operation on artifact |invalid character '", _BAD_MANIFEST),
    (r"failed to get stream processor for |layer \d+ \(blob \S+\) does not match ", _permanent("bad_layer")),
    (
        rf"failed commit on ref {_QUOTED}: unexpected commit (?:digest|size) ",
        _passing("bad_digest", retries=1),
    ),
    # The ingest was collected while it was written to: its lease expired, or was deleted.
    (
        rf"failed commit on ref {_QUOTED}: (?:commit failed: )?rename \S+ \S+: no such file or directory\Z",
        _passing("content_gone", retries=3),
    ),
    (r"Digest did not match, expected ", _passing("bad_digest", retries=1)),
    (r"ref \S+ locked", _passing("locked")),  # by another pull of the same blob
    (r"lease does not exist: ", _passing("lease_gone", retries=3)),
    # The content of a pull under way was collected on the node; the registry was not asked.
    (r"(?:content|snapshot|parent snapshot) .*: not found", _passing("content_gone", retries=3)),
    (r"server is not initialized yet", Fault(kind=FaultClass.RUNTIME_GONE, reason="runtime_starting")),
    (r"context (?:deadline exceeded|canceled)", _TIMEOUT),
)

_NETWORK_WORDS = _table(
    (r"(?:remote error: )?tls: |x509: |http: server gave HTTP response to HTTPS client", _permanent("tls")),
    # A TLS record where an HTTP answer was expected.
    (r'net/http: HTTP/1\.x transport connection broken: malformed HTTP response "\\x15', _permanent("tls")),
    (r"dial \w+: lookup \S+(?: on \S+)?: no such host", _passing("dns", retries=_DNS_FEW_TIMES)),
    (r"dial \w+: lookup ", _passing("dns")),
    (r"context deadline exceeded|net/http: (?:TLS handshake timeout|timeout awaiting )", _TIMEOUT),
    (r"(?:dial|read|write) \w+ \S+: (?:read: |write: )?i/o timeout", _TIMEOUT),
)

_STREAM_WORDS = _table(
    (rf"{_GO_NETWORK}(?:read: )?i/o timeout", _TIMEOUT),
    (rf"{_GO_NETWORK}|unexpected EOF|EOF|dial \w+ |stream error: |http2: ", _CONNECTION),
)

_REGISTRY_WORDS = _table(
    (r"(?:manifest unknown|name unknown|repository name not known to registry)(?=:|$)", _NOT_FOUND),
    (r"(?:unauthorized|authentication required)(?=:|$)", _UNAUTHORIZED),
    (r"(?:denied|requested access to the resource is denied)(?=:|$)", _DENIED),
    (r"(?:toomanyrequests|too many requests)(?=:|$)", _passing("rate_limited")),
    (r"blob unknown(?: to registry)?(?=:|$)", _passing("blob_missing", retries=1)),
    (r"(?:name|tag|manifest|digest|size|range) invalid(?=:|$)|unsupported: ", _permanent("client_error")),
    (r"(?:service )?unavailable(?=:|$)", _SERVER_ERROR),
    (r"unknown: ", _passing("unknown")),
)

_DISK_FULL = r": (?:no space left on device|disk quota exceeded)(?:: unknown|\))?\Z"
_BAD_LAYER = (
    r": (?:archive/tar: invalid tar header|gzip: invalid (?:header|checksum)|unexpected EOF"
    r"|no processor for media-type)(?:: unknown)?\Z"
)
_UNPACK_ENDINGS = _table((_DISK_FULL, _NO_SPACE), (_BAD_LAYER, _permanent("bad_layer")))

_NO_LINKS = re.compile(r"(?!)")
_REQUEST_LINK = re.compile(rf"(?P<network>{_REQUEST}|proxyconnect \w+: )")
_RUNTIME = _Zone(_RUNTIME_LINKS, (*_RUNTIME_WORDS, *_STREAM_WORDS, *_REGISTRY_WORDS), tells_status=True)
_ZONES = {
    "runtime": _RUNTIME,
    "other": _RUNTIME,
    "token": _RUNTIME,
    "registry": _Zone(
        _REQUEST_LINK,
        (*_REGISTRY_WORDS, *_table((r"invalid character '", _BAD_MANIFEST)), *_STREAM_WORDS),
        tells_status=True,
    ),
    "network": _Zone(_REQUEST_LINK, _NETWORK_WORDS, _table((r"", _CONNECTION))),
    "file": _Zone(_NO_LINKS, (), _table((_DISK_FULL, _NO_SPACE))),
    "unpack": _Zone(_NO_LINKS, (), _UNPACK_ENDINGS),
}


_MOST_LINKS = 50  # real texts have ten; keeps a made-up one from taking our time
_LONGEST_ENDING = 100


def read_pull_error(text: str) -> Fault | None:
    """What the text of a failed PullImage says; None when it says nothing that we know.

    Takes time in proportion to the text's length.
    """
    # CRI-O tries the name again as an artifact; what it says about the image comes first.
    text = text.partition("; artifact err: ")[0].rstrip()
    zone, position, asks_for_token = _RUNTIME, 0, False
    for _ in range(_MOST_LINKS):
        status = _STATUS.match(text, position) if zone.tells_status else None
        if status:
            return _by_status(int(status.group(1)), asks_for_token=asks_for_token)
        for pattern, fault in zone.words:
            if pattern.match(text, position):
                return fault
        link = zone.links.match(text, position)
        if link is None or link.lastgroup is None:
            break
        zone, position = _ZONES[link.lastgroup], link.end()
        asks_for_token = asks_for_token or link.lastgroup == "token"
    for pattern, fault in zone.endings:
        if pattern.search(text, max(position, len(text) - _LONGEST_ENDING)):
            return fault
    return None


def _by_status(status: int, *, asks_for_token: bool) -> Fault | None:
    """RFC 9110, section 15; a token endpoint that is not found says nothing about the image."""
    named = {
        401: _UNAUTHORIZED,
        403: _DENIED,
        404: _permanent("client_error") if asks_for_token else _NOT_FOUND,
        408: _TIMEOUT,
        425: _passing("rate_limited"),
        429: _passing("rate_limited"),
    }
    if status in named:
        return named[status]
    if 500 <= status <= 599:  # noqa: PLR2004 - the class of server errors
        return _SERVER_ERROR
    return _permanent("client_error") if 400 <= status <= 499 else None  # noqa: PLR2004
