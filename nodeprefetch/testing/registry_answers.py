"""A registry's responses as data: what a path requests, and what the distribution specification requires."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from nodeprefetch.testing.images import Blob

_MANIFEST = re.compile(r"/v2/(?P<repository>.+)/manifests/(?P<reference>[^/]+)")
_BLOB = re.compile(r"/v2/(?P<repository>.+)/blobs/(?P<reference>[^/]+)")
_RANGE = re.compile(r"bytes=(?P<first>\d+)-(?P<last>\d*)")
_CODES = {
    400: "NAME_INVALID",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "MANIFEST_UNKNOWN",
    429: "TOOMANYREQUESTS",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status, headers without Content-Length, and the body, which is not sent for HEAD."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The target of a path."""

    what: str
    """`ping`, `token`, `manifest`, `blob`, `unknown`."""

    repository: str = ""
    reference: str = ""


def read_path(path: str) -> Wanted:
    """Return the target of a path without query."""
    if path == "/v2/":
        return Wanted(what="ping")
    if path == "/token":
        return Wanted(what="token")
    for what, pattern in (("manifest", _MANIFEST), ("blob", _BLOB)):
        if match := pattern.fullmatch(path):
            return Wanted(what=what, **match.groupdict())
    return Wanted(what="unknown")


def error_answer(
    status: int,
    *,
    code: str = "",
    message: str = "made up for a test",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an error with the document required by the distribution specification."""
    document = {"errors": [{"code": code or _CODES.get(status, "UNKNOWN"), "message": message}]}
    return Answer(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=json.dumps(document).encode(),
    )


def manifest_answer(manifest: Blob) -> Answer:
    """Return a manifest or index."""
    headers = {"Content-Type": manifest.media_type, "Docker-Content-Digest": manifest.digest}
    return Answer(status=HTTPStatus.OK, headers=headers, body=manifest.data)


def blob_answer(blob: Blob, requested_range: str = "", *, ranges: bool = True) -> Answer:
    """Return a blob, or the part requested by a Range header (RFC 9110, section 14.2; one range only)."""
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": blob.digest}
    if ranges:
        headers["Accept-Ranges"] = "bytes"
    match = _RANGE.fullmatch(requested_range)
    if not ranges or match is None:
        return Answer(status=HTTPStatus.OK, headers=headers, body=blob.data)
    first = int(match["first"])
    last = min(int(match["last"] or blob.size), blob.size - 1)
    if first >= blob.size or last < first:
        return error_answer(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{blob.size}"}
        )
    headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
    return Answer(status=HTTPStatus.PARTIAL_CONTENT, headers=headers, body=blob.data[first : last + 1])
