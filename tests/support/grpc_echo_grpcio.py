"""The Echo service of `grpc_peers` on grpcio's server. A program; its argument: a socket's path or a port (0: any)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_hanging = [0, 0]


async def _unary(request: bytes, context: Any) -> bytes:
    return request


async def _fail(request: bytes, context: Any) -> bytes:
    code, _, text = request.decode().partition(" ")
    await context.abort(_CODES[int(code)], text)
    return b""


async def _metadata(request: bytes, context: Any) -> bytes:
    given = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-")]
    await context.send_initial_metadata(given)
    context.set_trailing_metadata(given)
    return request


async def _time_left(request: bytes, context: Any) -> bytes:
    left = context.time_remaining()
    return b"none" if left is None else str(left).encode()


async def _hang(request: bytes, context: Any) -> bytes:
    _hanging[0] += 1
    try:
        await asyncio.Event().wait()
    finally:
        _hanging[1] += 1
    return b""


async def _count_hanging(request: bytes, context: Any) -> bytes:
    return "{} {}".format(*_hanging).encode()


async def _count(request: bytes, context: Any) -> AsyncIterator[bytes]:
    number, size = map(int, request.split())
    for _ in range(number):
        yield bytes(size)


async def _sum(requests: AsyncIterator[bytes], context: Any) -> bytes:
    sizes = [len(request) async for request in requests]
    return f"{len(sizes)} {sum(sizes)}".encode()


async def _early(requests: AsyncIterator[bytes], context: Any) -> bytes:
    async for request in requests:
        return request
    return b""


async def _chat(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve(where: str) -> None:
    """Serve until killed."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=unlimited)
    unary = {
        "Unary": _unary,
        "Fail": _fail,
        "Metadata": _metadata,
        "TimeLeft": _time_left,
        "Hang": _hang,
        "Hanging": _count_hanging,
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(function) for name, function in unary.items()}
    handlers["Count"] = grpc.unary_stream_rpc_method_handler(_count)
    handlers["Sum"] = grpc.stream_unary_rpc_method_handler(_sum)
    handlers["Early"] = grpc.stream_unary_rpc_method_handler(_early)
    handlers["Chat"] = grpc.stream_stream_rpc_method_handler(_chat)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port(f"127.0.0.1:{where}" if where.isdigit() else f"unix:{where}")
    await server.start()
    print("listening", port)  # noqa: T201 (who started us reads it)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
