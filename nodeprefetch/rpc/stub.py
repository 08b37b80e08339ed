"""The base class of generated stubs, with the four kinds of calls.

A call with a streaming response is a block, not an asynchronous generator: a call that is left early must end at once,
but a generator would keep it open until it is collected.

    async with stub.subscribe(request) as events:
        async for event in events:
            ...
"""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from grpclib.const import Cardinality

from nodeprefetch.rpc.channel import Channel
from nodeprefetch.rpc.message import Message
from nodeprefetch.rpc.metadata import MetadataLike
from nodeprefetch.rpc.stream import Stream

Reply = TypeVar("Reply", bound=Message)
Replies = AbstractAsyncContextManager[Stream[Reply]]
"""Result of a call with a streaming response."""

MessageSource = Iterable[Message] | AsyncIterable[Message]


class ServiceStub:
    """A service of the server of a channel.

    Args:
        channel: connection to the server.
        metadata: sent with every call without metadata of its own.
    """

    def __init__(self, channel: Channel, *, metadata: MetadataLike | None = None) -> None:
        self.channel = channel
        self.metadata = metadata

    def _metadata(self, metadata: MetadataLike | None) -> MetadataLike | None:
        return self.metadata if metadata is None else metadata

    async def _unary_unary(
        self,
        route: str,
        request: Message,
        response_type: type[Reply],
        *,
        metadata: MetadataLike | None = None,
    ) -> Reply:
        async with self.channel.request(
            route, Cardinality.UNARY_UNARY, type(request), response_type, metadata=self._metadata(metadata)
        ) as stream:
            await stream.send_message(request, end=True)
            return await stream.recv_reply()

    @asynccontextmanager
    async def _unary_stream(
        self,
        route: str,
        request: Message,
        response_type: type[Reply],
        *,
        metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Stream[Reply]]:
        async with self.channel.request(
            route, Cardinality.UNARY_STREAM, type(request), response_type, metadata=self._metadata(metadata)
        ) as stream:
            await stream.send_message(request, end=True)
            yield stream

    async def _stream_unary(
        self,
        route: str,
        request_iterator: MessageSource,
        request_type: type[Message],
        response_type: type[Reply],
        *,
        metadata: MetadataLike | None = None,
    ) -> Reply:
        async with self.channel.request(
            route, Cardinality.STREAM_UNARY, request_type, response_type, metadata=self._metadata(metadata)
        ) as stream:
            stream.send_from(request_iterator)
            return await stream.recv_reply()

    @asynccontextmanager
    async def _stream_stream(
        self,
        route: str,
        request_iterator: MessageSource,
        request_type: type[Message],
        response_type: type[Reply],
        *,
        metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Stream[Reply]]:
        async with self.channel.request(
            route, Cardinality.STREAM_STREAM, request_type, response_type, metadata=self._metadata(metadata)
        ) as stream:
            stream.send_from(request_iterator)
            yield stream
