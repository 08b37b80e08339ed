"""A channel to a gRPC server: connects at the first call, and again after the connection is lost."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio
from grpclib.const import Cardinality

from nodeprefetch.errors import ConnectionLostError
from nodeprefetch.rpc.address import Target, parse_address
from nodeprefetch.rpc.connection import Connection
from nodeprefetch.rpc.message import Message
from nodeprefetch.rpc.metadata import MetadataLike
from nodeprefetch.rpc.request import request_headers
from nodeprefetch.rpc.stream import Stream

MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Default size limit of received messages in bytes: containerd's own limit for what it sends."""

Reply = TypeVar("Reply", bound=Message)


class Channel:
    """Used by stubs. Created by `open_channel`, and valid in its block."""

    def __init__(self, nursery: trio.Nursery, target: Target, *, max_message: int) -> None:
        self._nursery = nursery
        self._target = target
        self._max_message = max_message
        self._connecting = trio.Lock()
        self._connections: list[Connection] = []
        self._closed = False

    @asynccontextmanager
    async def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: type[Message],  # noqa: ARG002 (part of the interface that generated stubs know)
        reply_type: type[Reply],
        *,
        metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Stream[Reply]]:
        """Start a call; leaving the block ends it.

        The deadline of the surrounding scope is sent as `grpc-timeout`. Leaving the block before the end of the call,
        by cancellation or otherwise, cancels the call at the server (RST_STREAM) without waiting.

        Args:
            name: the method, `/package.Service/Method`.
            cardinality: which sides send several messages.
            request_type: type of the messages to send.
            reply_type: type of the messages to receive.
            metadata: sent with the call.

        Raises:
            NotConnectedError: the connection failed.
            GRPCError: (in the block) the server returned an error.
            RpcError: (in the block) connection, stream or protocol failed.
            ValueError: invalid metadata.
        """
        stream = await self._open(name, cardinality, reply_type, metadata)
        try:
            yield stream
        finally:
            stream.close()

    async def _open(
        self, name: str, cardinality: Cardinality, reply_type: type[Reply], metadata: MetadataLike | None
    ) -> Stream[Reply]:
        def headers() -> list[tuple[str, str]]:
            left = trio.current_effective_deadline() - trio.current_time()
            return request_headers(name, authority=self._target.authority, timeout_seconds=left, metadata=metadata)

        while True:
            connection = await self._connect()
            stream = await connection.session.open_stream(headers, cardinality, reply_type)
            if stream is not None:
                return stream  # else nothing was sent, so try another connection

    async def _connect(self) -> Connection:
        async with self._connecting:
            self._check_open()
            self._connections = [one for one in self._connections if not one.finished.is_set()]
            if not self._connections or not self._connections[-1].session.usable:
                transport = await self._target.connect()
                try:
                    self._check_open()
                except ConnectionLostError:
                    await trio.aclose_forcefully(transport)
                    raise
                connection = Connection(transport, peer=str(self._target), max_message=self._max_message)
                self._connections.append(connection)
                self._nursery.start_soon(connection.run)
            return self._connections[-1]

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLostError(f"the channel to {self._target} is closed")

    async def aclose(self) -> None:
        """Close all connections. Not interrupted by cancellation; takes at most half a second."""
        self._closed = True
        for connection in self._connections:
            connection.close_soon()
        for connection in self._connections:
            await connection.aclose()


@asynccontextmanager
async def open_channel(address: str, *, max_message: int = MAX_MESSAGE) -> AsyncGenerator[Channel]:
    """Open a channel to the server at an address; it connects at the first call.

    Exceptions of the block are raised as they are, not in a group.

    Args:
        address: `unix:///path`, `/path`, `unix:path`, `host:port` or `http://host:port`.
        max_message: the largest message accepted, in bytes.

    Raises:
        UsageError: the address is invalid.
    """
    async with open_channel_to(parse_address(address), max_message=max_message) as channel:
        yield channel


@asynccontextmanager
async def open_channel_to(target: Target, *, max_message: int = MAX_MESSAGE) -> AsyncGenerator[Channel]:
    """Like `open_channel`, for a parsed address."""
    # The nursery never sees the exception of the block, which it would wrap into a group. It has nothing to wait
    # for: aclose returns when the last task has ended.
    nursery_manager = trio.open_nursery()
    channel = Channel(await nursery_manager.__aenter__(), target, max_message=max_message)
    try:
        yield channel
    finally:
        await channel.aclose()
        await nursery_manager.__aexit__(None, None, None)
