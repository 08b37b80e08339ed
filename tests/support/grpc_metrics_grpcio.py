"""The older tool's `/Metrics/Submit` on grpcio's server. A program; its argument: a port (0: any).

Written from what goes over the wire, with nothing of ours in it that speaks gRPC or protobuf. Prints `listening PORT`,
then each result that is acknowledged as a line of JSON.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]

FIELDS = ("", "attempt_id", "started_at", "image", "error", "duration_ms", "node", "size_bytes")
"""By number."""

_VARINT, _BYTES = 0, 2


def decode_result(data: bytes) -> dict[str, str | int]:
    """A Result by hand, from protobuf's wire format; fails on what is none."""
    fields: dict[str, str | int] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        name = FIELDS[key >> 3] if key >> 3 < len(FIELDS) else ""  # unknown, skipped as by every implementation
        value, at = _varint(data, at)
        if key & 7 == _VARINT:
            fields[name] = value
        elif key & 7 == _BYTES:
            fields[name] = data[at : at + value].decode()
            at += value
        else:
            raise ValueError(f"field {name} has wire type {key & 7}")
    fields.pop("", None)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return number, at


def _submit(requests: Iterator[bytes], context: Any) -> bytes:
    for result in [decode_result(request) for request in requests]:
        print(json.dumps(result))  # noqa: T201 (who started us reads it)
    return b""


def serve(port: str) -> None:
    """Serve until killed."""
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {"Submit": grpc.stream_unary_rpc_method_handler(_submit)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Metrics", handlers),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("listening", bound)  # noqa: T201
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1])
