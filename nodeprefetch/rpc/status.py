"""Turns HTTP status, headers and trailers of a response into an error, if there is one.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md ("Responses") and
https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md.
"""

from urllib.parse import unquote_to_bytes

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from nodeprefetch.errors import ProtocolViolationError

Headers = dict[bytes, bytes]

_OF_HTTP = {
    b"400": Status.INTERNAL,
    b"401": Status.UNAUTHENTICATED,
    b"403": Status.PERMISSION_DENIED,
    b"404": Status.UNIMPLEMENTED,
    b"429": Status.UNAVAILABLE,
    b"502": Status.UNAVAILABLE,
    b"503": Status.UNAVAILABLE,
    b"504": Status.UNAVAILABLE,
}


def response_problem(headers: Headers) -> GRPCError | ProtocolViolationError | None:
    """Return the error in the headers of a response, or None. After an error, no messages follow.

    A response with `grpc-status` is gRPC, whatever its other headers are.
    """
    if b"grpc-status" in headers:
        return None
    code = headers.get(b":status", b"")
    if code != b"200":
        shown = code.decode("ascii", "replace")
        return GRPCError(_OF_HTTP.get(code, Status.UNKNOWN), f"the server answered with HTTP status {shown}")
    kind = headers.get(b"content-type", b"")
    if kind != b"application/grpc" and not kind.startswith((b"application/grpc+", b"application/grpc;")):
        shown = kind.decode("ascii", "replace")
        return ProtocolViolationError(f"the response is not gRPC: content type {shown!r}")
    return None


def trailers_problem(trailers: Headers) -> GRPCError | ProtocolViolationError | None:
    """Return the error in the trailers; None for status OK."""
    raw = trailers.get(b"grpc-status")
    if raw is None:
        return ProtocolViolationError("the response ended without a status")
    message = decode_message(trailers.get(b"grpc-message", b""))
    if not (raw.isdigit() and len(raw) <= 9):  # noqa: PLR2004 (what fits into 32 bits)
        return ProtocolViolationError(
            f"the response ended with the status {raw.decode('ascii', 'replace')!r}, not a number"
        )
    try:
        status = Status(int(raw))
    except ValueError:
        # Unknown codes: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
        return GRPCError(Status.UNKNOWN, f"status {int(raw)}: {message or ''}")
    return None if status is Status.OK else GRPCError(status, message)


def decode_message(raw: bytes) -> str | None:
    """Decode `grpc-message`, which is percent-encoded UTF-8. Keeps invalid escapes unchanged."""
    return unquote_to_bytes(raw).decode("utf-8", "replace") or None
