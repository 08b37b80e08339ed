"""`GET /` and `GET /page/NAME`: the page for people, static files that are read once.

They contain no data and need no token; the page asks for one before it reads the board.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.web.etag import is_known
from nodeprefetch.aggregator.web.service import Service

_DIRECTORY = Path(__file__).with_name("page")
_INDEX = "index.html"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # with the ETag: a new version is seen at once
    "vary": "accept-encoding",
}


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the page, as it is sent."""

    media_type: str
    body: bytes
    compressed: bytes
    tag: str
    """The ETag of `body`."""

    compressed_tag: str


async def page(_: Service, request: Request) -> Response:
    """Respond with a file of the page; 304 if the client has it.

    Raises:
        RefusedError: there is no such file.
    """
    name = request.path_params.get("name", _INDEX)
    file = files().get(name)
    if file is None or (name == _INDEX and request.path_params):
        raise RefusedError(404, "not_found", "Not Found")
    is_compressed = _accepts_gzip(request.headers.get("accept-encoding", ""))
    tag = file.compressed_tag if is_compressed else file.tag
    headers = {**_HEADERS, "etag": tag}
    if is_known(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    if is_compressed:
        headers["content-encoding"] = "gzip"
    return Response(file.compressed if is_compressed else file.body, headers=headers, media_type=file.media_type)


@cache
def files() -> dict[str, _File]:
    """Read and compress all files of the page, by name."""
    return {path.name: _read(path) for path in sorted(_DIRECTORY.iterdir()) if path.suffix in _TYPES}


def _read(path: Path) -> _File:
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:16]
    return _File(
        media_type=_TYPES[path.suffix],
        body=body,
        compressed=gzip.compress(body, mtime=0),
        tag=f'"{digest}"',
        compressed_tag=f'"{digest}-gzip"',
    )


def _accepts_gzip(header: str) -> bool:
    """Whether Accept-Encoding allows gzip (RFC 9110, section 12.5.3)."""
    for each in header.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
