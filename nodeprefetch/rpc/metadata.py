"""Metadata of a call, sent as HTTP/2 headers with request and response.

Names ending in `-bin` hold bytes, sent as base64
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Custom-Metadata").
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping

MetadataLike = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]
"""Metadata to send."""

Metadata = tuple[tuple[str, str | bytes], ...]
"""Received metadata: pairs in order of arrival, as names may repeat."""

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Received headers."""

_NAME = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]*")
_OURS = frozenset({"te", "content-type", "user-agent", "connection", "host"})


def encode_metadata(metadata: MetadataLike | None) -> list[tuple[str, str]]:
    """Encode metadata as headers. Converts names to lower case.

    Raises:
        ValueError: HTTP/2 or gRPC does not allow a name or value. Names with `grpc-…` are reserved.
    """
    if metadata is None:
        return []
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    return [_encode(name.lower(), value) for name, value in pairs]


def _encode(name: str, value: str | bytes) -> tuple[str, str]:
    if not _NAME.fullmatch(name) or name.startswith("grpc-") or name in _OURS:
        raise ValueError(f"invalid metadata name {name!r}")
    if name.endswith("-bin"):
        if isinstance(value, str):
            raise ValueError(f"metadata {name!r} must be bytes, not text")
        return name, b64encode(value).rstrip(b"=").decode()
    if isinstance(value, bytes) or not _TEXT.fullmatch(value):
        raise ValueError(f"metadata {name!r} must be printable ASCII (use a name ending in -bin for bytes)")
    return name, value.strip(" ")


def decode_metadata(headers: RawHeaders) -> Metadata:
    """Decode received headers: skips pseudo-headers, and decodes `-bin` values.

    Skips invalid base64, so that the call does not fail.
    """
    pairs: list[tuple[str, str | bytes]] = []
    for raw_name, raw_value in headers:
        name = raw_name.decode("ascii", "replace")
        if name.startswith(":"):
            continue
        if not name.endswith("-bin"):
            pairs.append((name, raw_value.decode("utf-8", "replace")))
            continue
        for part in raw_value.split(b","):  # equal names may arrive joined
            text = part.strip()
            try:
                pairs.append((name, b64decode(text + b"=" * (-len(text) % 4), validate=True)))
            except Base64Error:
                continue
    return tuple(pairs)
