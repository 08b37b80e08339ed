"""The first and last words of pull errors, and their meaning. `pull_errors` decides where each may occur."""

import re

from nodeprefetch.runtime.faults import Fault, FaultClass

Words = tuple[tuple[re.Pattern[str], Fault], ...]
"""Patterns in order; the first one that matches decides."""

QUOTED = r'"(?:[^"\\]|\\.)*+"'
"""Go's %q: a quote inside is escaped."""


def _passing(reason: str, retries: int | None = None, *, discards_partial: bool = False) -> Fault:
    return Fault(kind=FaultClass.PASSING, reason=reason, retries=retries, discards_partial=discards_partial)


def _throttling(reason: str) -> Fault:
    return Fault(kind=FaultClass.PASSING, reason=reason, throttles=True)


def _permanent(reason: str, *, missing: bool = False) -> Fault:
    return Fault(kind=FaultClass.PERMANENT, reason=reason, missing=missing)


def _refused(reason: str) -> Fault:
    return Fault(kind=FaultClass.REFUSED, reason=reason)


def _table(*rows: tuple[str, Fault]) -> Words:
    return tuple((re.compile(pattern), fault) for pattern, fault in rows)


_FEW = 3
"""Retries of faults that rarely pass, except while a node or a network starts."""

_CLOCK_PATIENCE = 300.0
"""Seconds for a node to set its clock after booting."""

NOT_FOUND = _permanent("not_found", missing=True)
UNAUTHORIZED, DENIED = _refused("unauthorized"), _refused("denied")
CLIENT_ERROR = _permanent("client_error")
RATE_LIMITED, UNAVAILABLE = _throttling("rate_limited"), _throttling("server_error")
SERVER_ERROR, TIMEOUT, CONNECTION = _passing("server_error"), _passing("timeout"), _passing("connection")
BLOB_MISSING = _passing("blob_missing", 1, discards_partial=True)
BAD_RANGE = _passing("bad_range", 1, discards_partial=True)
_NO_SPACE = Fault(kind=FaultClass.NO_SPACE, reason="no_space")
_BAD_MANIFEST, _BAD_LAYER = _permanent("bad_manifest"), _permanent("bad_layer")
_BAD_DIGEST = _passing("bad_digest", 1, discards_partial=True)
_CONTENT_GONE = _passing("content_gone", _FEW)
_STORE_DAMAGED = _passing("store_damaged", _FEW, discards_partial=True)
_NOT_A_REGISTRY = _passing("not_a_registry", _FEW)
_CLOCK = Fault(kind=FaultClass.PASSING, reason="clock", patience=_CLOCK_PATIENCE)

_UNVERIFIED_LAYER = _passing("bad_layer", 1)
_GARBLED = r"gzip: invalid (?:header|checksum)|(?:invalid input: )?magic number mismatch"
_BAD_COMPRESSION = rf"{_GARBLED}|flate: corrupt input before offset \d+"

_GO_NETWORK = r"(?:write|read) (?:tcp|udp) \S+: "
_COMMIT = rf"failed commit on ref {QUOTED}: "

STREAM_WORDS = _table(
    (rf"{_GO_NETWORK}(?:read: )?i/o timeout", TIMEOUT),
    (rf"{_GO_NETWORK}|unexpected EOF|EOF|dial \w+ |stream error: |http2: |(?:local|remote) error: tls: ", CONNECTION),
    (r"short read: expected \d+ bytes but got \d+: unexpected EOF", CONNECTION),
)
"""A connection was lost while reading."""

NAMED_ERRORS = _table(
    (r"(?:manifest unknown|name unknown|repository name not known to registry)(?=:|$)", NOT_FOUND),
    (r"(?:unauthorized|authentication required)(?=:|$)", UNAUTHORIZED),
    (r"(?:denied|requested access to the resource is denied)(?=:|$)", DENIED),
    (r"(?:toomanyrequests|too many requests)(?=:|$)", RATE_LIMITED),
    (r"blob unknown(?: to registry)?(?=:|$)", BLOB_MISSING),
    (r"(?:name|tag|manifest|digest|size|range) invalid(?=:|$)|unsupported: ", CLIENT_ERROR),
    (r"(?:service )?unavailable(?=:|$)", UNAVAILABLE),
)
"""The errors of the distribution specification, by name. What follows the name is the server's message."""

REGISTRY_WORDS = (*NAMED_ERRORS, *_table((r"unknown: ", _passing("unknown"))))

BLOB_WORDS = _table((r"(?:manifest|name|blob) unknown(?=:|$)|content at \S+ not found: ", BLOB_MISSING))
"""A blob is missing. Its manifest was found, so the image itself exists."""

DOCUMENT_WORDS = _table(
    (r"invalid character '<'", _NOT_A_REGISTRY),
    (r"invalid character '", _BAD_MANIFEST),
    (r"unexpected end of JSON input", _passing("protocol", _FEW)),
)
"""Invalid JSON. An HTML page instead begins with `<`; an answer that was cut short, or is empty, just ends."""

TOKEN_WORDS = _table((r"invalid character '|authorization server did not include a token", _NOT_A_REGISTRY))
"""Response of a token endpoint. It says nothing about the image."""

RUNTIME_WORDS = _table(
    (
        r"failed to parse image reference |cannot parse input: |invalid reference format",
        _permanent("bad_name"),
    ),
    (
        r"illegal base64 data at input byte |invalid decoded auth: |parse server address: ",
        _refused("bad_credential"),
    ),
    (r"pull access denied(?: for \S+)?, |server message: insufficient_scope(?=:)", DENIED),
    (r"(?:manifest for|repository) \S+ not found", NOT_FOUND),
    # The registry accepted the token for the manifest, but it expired during the pull.
    (r"server message: invalid_token(?=:)", _passing("token_expired")),
    (r"authorization failed|no basic auth credentials|invalid username/password: |server message: ", UNAUTHORIZED),
    (r"too many requests to registry", RATE_LIMITED),
    (r"RegistryUnavailable: ", CONNECTION),
    (r"SignatureValidationFailed|Source image rejected: |image verifier \S+ blocked pull of ", _permanent("signature")),
    (r"blocking pull of \S+ with digest ", _passing("signature", _FEW)),  # the verifier itself failed
    (r"could not fetch content descriptor ", BLOB_MISSING),
    (r"unhandled content range in response: |(?:failed|unable) to discard to offset", BAD_RANGE),
    (r"no match for platform in manifest|no image found in |no matching manifest for ", _permanent("no_platform")),
    (r"unexpected media type text/html ", _NOT_A_REGISTRY),
    (
        (
            r"schema 1 image manifests are no longer supported|no signatures|no FSLayers in manifest"
            r'|not implemented: media type "application/vnd\.docker\.distribution\.manifest\.v1\+'
        ),
        _permanent("old_manifest"),
    ),
    (r"rejecting \d+ byte manifest for ", _permanent("large_manifest")),
    (r"unable to initialize unpacker: no unpack platforms defined", _permanent("not_unpacked")),
    (
        r"unexpected media type |unable to fetch descriptor |mismatched image rootfs and manifest",
        _BAD_MANIFEST,
    ),
    (r"number of layers and diffIDs don't match|layers from manifest don't match ", _BAD_MANIFEST),
    (r'unsupported image-specific operation on artifact with type "[^"]', _permanent("artifact")),
    (r"unsupported image-specific operation on artifact ", _BAD_MANIFEST),
    (r"failed to get stream processor for |layer \d+ \(blob \S+\) does not match |wrong diff id ", _BAD_LAYER),
    (
        rf"{_COMMIT}(?:{QUOTED} )?unexpected commit digest sha256:\w+, expected (?!sha256:)",
        _permanent("digest_algorithm"),
    ),
    (rf"{_COMMIT}(?:{QUOTED} )?(?:unexpected commit (?:digest|size) |failed size validation: )", _BAD_DIGEST),
    # The ingest was garbage-collected while it was written: its lease expired or was deleted.
    (rf"{_COMMIT}(?:commit failed: )?rename \S+ \S+: no such file or directory\Z", _CONTENT_GONE),
    (rf"{_COMMIT}.*: not found\Z", _STORE_DAMAGED),
    (r"Digest did not match, expected |manifest does not match provided manifest digest ", _BAD_DIGEST),
    (rf"(?:{_BAD_COMPRESSION})\Z", _UNVERIFIED_LAYER),  # found before the digest is verified
    (r"(?:filesystem layer|image config|manifest) verification failed for digest ", _BAD_DIGEST),
    (r"ref \S+ locked", _passing("locked")),  # by another pull of the same blob
    (r"lease does not exist: ", _passing("lease_gone", _FEW)),
    # The content of this pull was garbage-collected on the node; the registry was not asked.
    (r"(?:content|snapshot|parent snapshot) .*: not found", _CONTENT_GONE),
    (r"(?:layer|image) not known|layer does not exist|layer not initialized", _STORE_DAMAGED),
    (r"server is not initialized yet", Fault(kind=FaultClass.RUNTIME_GONE, reason="runtime_starting")),
    (r"context (?:deadline exceeded|canceled)", TIMEOUT),
)

_TLS = _permanent("tls")
NETWORK_WORDS = _table(
    (
        (
            r"(?:tls: failed to verify certificate: )?x509: certificate has expired or is not yet valid: "
            r"current time \S+ is before "
        ),
        _CLOCK,
    ),
    (r"(?:remote error: )?tls: |x509: |http: server gave HTTP response to HTTPS client", _TLS),
    # A TLS record where an HTTP answer was expected.
    (r'net/http: HTTP/1\.x transport connection broken: malformed HTTP response "\\x15', _TLS),
    (r"net/http: HTTP/1\.x transport connection broken: malformed ", _passing("protocol", _FEW)),
    (r"dial \w+: lookup \S+(?: on \S+)?: no such host", _passing("dns", _FEW)),
    (r"dial \w+: lookup ", _passing("dns")),
    (r"context deadline exceeded|net/http: (?:TLS handshake timeout|timeout awaiting )", TIMEOUT),
    (r"(?:dial|read|write) \w+ \S+: (?:read: |write: )?i/o timeout", TIMEOUT),
)

ANY_NETWORK = _table((r"", CONNECTION))

_REST = (
    r"(?:\n| \| )exhausting input failed "
    rf"\(error: (?:archive/tar: [a-z ]+|{_BAD_COMPRESSION}|unexpected EOF|EOF)\)"
)
"""Added by CRI-O if the rest of a layer cannot be read either."""

_DISK_FULL = (rf": (?:no space left on device|disk quota exceeded)(?:: unknown|\)(?:{_REST})?)?\Z", _NO_SPACE)
_NOT_A_LAYER = rf": (?:archive/tar: invalid tar header|{_BAD_COMPRESSION}|unexpected EOF"

FILE_ENDINGS = _table(_DISK_FULL)
UNPACK_WORDS = _table(
    (
        rf"(?:\S+|\(\S+ \S+\) to \S+ as {QUOTED}): failed to get stream processor for \S*\+encrypted: ",
        _permanent("encrypted"),
    ),
)
UNPACK_ENDINGS = _table(
    _DISK_FULL,
    (_NOT_A_LAYER + r"|no processor for media-type)(?:: unknown)?\Z", _BAD_LAYER),
    (r": not found(?:: unknown)?\Z", _STORE_DAMAGED),
)
"""From containerd, which has verified the digest: the layer itself is bad."""

UNTAR_ENDINGS = _table(_DISK_FULL, (_NOT_A_LAYER + rf")(?:\)(?:{_REST})?)?\Z", _UNVERIFIED_LAYER))
"""From CRI-O and Docker, which unpack before they verify the digest."""

NODE_ENDINGS = _table((r": not found\Z", _STORE_DAMAGED))
"""From containerd after resolving the name: content is missing in its own store."""

BLOB_ENDINGS = _table((r": not found\Z", BLOB_MISSING))
