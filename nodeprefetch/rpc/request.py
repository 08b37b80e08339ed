"""The headers of a request, including the deadline of the caller."""

import math

from nodeprefetch.rpc.metadata import MetadataLike, encode_metadata

_LARGEST = 99_999_999
"""`grpc-timeout` has at most eight digits."""

_UNITS = (("m", 0.001), ("S", 1.0), ("M", 60.0), ("H", 3600.0))


def encode_timeout(seconds: float) -> str | None:
    """Return the value of `grpc-timeout`, or None for no limit.

    Rounded up in the finest unit that fits, so that the server never gives up before the caller.
    """
    if math.isinf(seconds):
        return None
    for unit, length in _UNITS:
        amount = max(1, math.ceil(seconds / length))
        if amount <= _LARGEST:
            return f"{amount}{unit}"
    return None  # ten thousand years


def request_headers(
    name: str, *, authority: str, timeout_seconds: float, metadata: MetadataLike | None
) -> list[tuple[str, str]]:
    """Return all headers of a request.

    The content type is exactly `application/grpc`: CRI-O closes the connection on anything longer.

    Args:
        name: path of the method, `/package.Service/Method`.
        authority: host and port.
        timeout_seconds: how long the caller waits; infinity for no limit.
        metadata: of the caller.

    Raises:
        ValueError: invalid metadata.
    """
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", name),
        (":authority", authority),
        ("te", "trailers"),
    ]
    timeout = encode_timeout(timeout_seconds)
    if timeout is not None:
        headers.append(("grpc-timeout", timeout))
    headers += [("content-type", "application/grpc"), ("user-agent", "nodeprefetch")]
    return headers + encode_metadata(metadata)
