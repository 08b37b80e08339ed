"""Reads a request's body within its bounds: size, time, and what gzip makes of it."""

import zlib
from collections.abc import Mapping

import trio

from nodeprefetch.aggregator.counters import Reservation
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.server.asgi import Receive
from nodeprefetch.aggregator.settings import Bounds

_GZIP = 16 + zlib.MAX_WBITS


async def read_body(receive: Receive, headers: Mapping[str, str], bounds: Bounds, held: Reservation) -> bytearray:
    """The whole body, decompressed.

    Args:
        receive: of the ASGI request.
        headers: its headers, names in lower case.
        bounds: size and time.
        held: what is read counts there.

    Raises:
        RefusedError: too large, too slow, too much in hand, not gzip.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise RefusedError(415, "unknown_encoding", f"the content encoding {encoding[:40]!r} is not known; gzip is")
    length = headers.get("content-length", "")
    if length.isdigit() and (len(length) > 18 or int(length) > bounds.body):  # noqa: PLR2004 - what int() is quick with
        raise _too_large(bounds.body)
    collected = _Gzip(bounds, held) if encoding.endswith("gzip") else _Plain(bounds, held)
    with trio.move_on_after(bounds.body_time) as scope:
        while True:
            message = await receive()
            collected.feed(message.get("body", b""))
            if not message.get("more_body", False):
                break
    if scope.cancelled_caught:
        raise RefusedError(408, "too_slow", f"the body did not come within {bounds.body_time:g} seconds")
    return collected.result()


class _Plain:
    def __init__(self, bounds: Bounds, held: Reservation) -> None:
        self._bounds = bounds
        self._held = held
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        if len(self._body) + len(data) > self._bounds.body:
            raise _too_large(self._bounds.body)
        self._held.take(len(data))
        self._body += data

    def result(self) -> bytearray:
        return self._body


class _Gzip:
    def __init__(self, bounds: Bounds, held: Reservation) -> None:
        self._bounds = bounds
        self._held = held
        self._raw = 0
        self._body = bytearray()
        self._inflate = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> None:
        self._raw += len(data)
        if self._raw > self._bounds.body:
            raise _too_large(self._bounds.body)
        room = self._bounds.decompressed - len(self._body)
        try:
            out = self._inflate.decompress(data, room + 1)  # 0 would mean: without a bound
        except zlib.error as error:
            raise RefusedError(400, "malformed", f"the body is not gzip: {error}") from error
        if len(out) > room:
            raise _too_large(self._bounds.decompressed)
        if self._inflate.unused_data:
            raise RefusedError(400, "malformed", "there is something behind the end of the gzip stream")
        self._held.take(len(out))
        self._body += out

    def result(self) -> bytearray:
        if not self._inflate.eof:
            raise RefusedError(400, "malformed", "the gzip stream does not come to its end")
        return self._body


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "too_large", f"the body is larger than {limit} bytes")
