"""The Echo service of `grpc_peers` on grpclib's server. A program; its argument: a socket's path or a port (0: any)."""

import asyncio
import sys
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from multidict import MultiDict

_Bytes = Stream[bytes, bytes]


class _BytesCodec(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class Echo:
    """The service."""

    def __init__(self) -> None:
        self._hanging = [0, 0]

    async def _unary(self, stream: _Bytes) -> None:
        await stream.send_message(await _request(stream))

    async def _fail(self, stream: _Bytes) -> None:
        code, _, text = (await _request(stream)).decode().partition(" ")
        raise GRPCError(Status(int(code)), text)

    async def _metadata(self, stream: _Bytes) -> None:
        given = MultiDict((name, value) for name, value in (stream.metadata or {}).items() if name.startswith("x-"))
        await stream.send_initial_metadata(metadata=given)
        await stream.send_message(await _request(stream))
        await stream.send_trailing_metadata(metadata=given)

    async def _time_left(self, stream: _Bytes) -> None:
        await _request(stream)
        left = stream.deadline
        await stream.send_message(b"none" if left is None else str(left.time_remaining()).encode())

    async def _hang(self, stream: _Bytes) -> None:
        self._hanging[0] += 1
        try:
            await asyncio.Event().wait()
        finally:
            self._hanging[1] += 1

    async def _count_hanging(self, stream: _Bytes) -> None:
        await _request(stream)
        await stream.send_message("{} {}".format(*self._hanging).encode())

    async def _count(self, stream: _Bytes) -> None:
        number, size = map(int, (await _request(stream)).split())
        for _ in range(number):
            await stream.send_message(bytes(size))

    async def _sum(self, stream: _Bytes) -> None:
        sizes = [len(message) async for message in stream]
        await stream.send_message(f"{len(sizes)} {sum(sizes)}".encode())

    async def _chat(self, stream: _Bytes) -> None:
        async for message in stream:
            await stream.send_message(message)

    def __mapping__(self) -> dict[str, Handler]:
        """Method to handler, as grpclib's server asks for it."""
        unary, streaming = Cardinality.UNARY_UNARY, Cardinality.STREAM_UNARY
        methods = {
            "Unary": (self._unary, unary),
            "Fail": (self._fail, unary),
            "Metadata": (self._metadata, unary),
            "TimeLeft": (self._time_left, unary),
            "Hang": (self._hang, unary),
            "Hanging": (self._count_hanging, unary),
            "Count": (self._count, Cardinality.UNARY_STREAM),
            "Sum": (self._sum, streaming),
            "Early": (self._unary, streaming),
            "Chat": (self._chat, Cardinality.STREAM_STREAM),
        }
        return {
            f"/test.Echo/{name}": Handler(function, cardinality, bytes, bytes)
            for name, (function, cardinality) in methods.items()
        }


async def _request(stream: _Bytes) -> bytes:
    return await stream.recv_message() or b""


async def serve(where: str) -> None:
    """Serve until killed."""
    server = Server([Echo()], codec=_BytesCodec())
    if where.isdigit():
        await server.start("127.0.0.1", int(where))
    else:
        await server.start(path=where)
    sockets = server._server.sockets  # type: ignore[union-attr]
    print("listening", sockets[0].getsockname()[1] if where.isdigit() else 0)  # noqa: T201 (who started us reads it)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
