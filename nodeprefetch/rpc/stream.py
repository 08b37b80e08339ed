"""One call: messages out, messages in, and how it ended."""

from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Generic, Protocol, Self

import trio
from grpclib.const import Cardinality

from nodeprefetch.errors import ProtocolViolationError, RpcError
from nodeprefetch.rpc.decoding import decode, largest
from nodeprefetch.rpc.frames import FrameParser, frame_message
from nodeprefetch.rpc.message import Message, Reply
from nodeprefetch.rpc.metadata import Metadata, decode_metadata
from nodeprefetch.rpc.status import Headers, response_problem, trailers_problem


class Wire(Protocol):
    """The connection as used by a stream."""

    async def send_data(self, stream: "Stream[Reply]", data: bytes, *, end: bool) -> None:
        """Send data as fast as the server's flow control allows."""
        ...

    def acknowledge(self, stream: "Stream[Reply]", size: int) -> None:
        """Allow the server to send that many bytes again."""
        ...

    def release(self, stream: "Stream[Reply]") -> None:
        """Remove the stream, with RST_STREAM(CANCEL) if it has not ended."""
        ...

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run a function in the background, for as long as the connection exists."""
        ...


class Stream(Generic[Reply]):
    """One call. Created by `Channel.request`, and valid in its block.

    Received bytes are kept until the caller takes them, and only then the server may send more: a slow reader keeps at
    most one window in memory.
    """

    def __init__(
        self,
        wire: Wire,
        stream_id: int,
        cardinality: Cardinality,
        reply_type: type[Reply],
        *,
        max_message: int,
    ) -> None:
        self.stream_id = stream_id
        self.initial_metadata: Metadata = ()
        """Sent with the headers of the response; available before the first message."""
        self.trailing_metadata: Metadata = ()
        """Sent with the status; available after the call, also after a GRPCError."""
        self._wire = wire
        self._many = cardinality.server_streaming
        self._reply_type = reply_type
        self._parser = FrameParser(largest(reply_type, max_message))
        self._inbox: deque[tuple[bytes, int]] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self._trailers: Headers = {}
        self._failure: Exception | None = None
        self._given = False
        self.end_sent = False
        """Whether our side has ended; the connection sets it."""
        self.end_received = False
        """Whether the server's side has ended."""
        self.reset = False
        """Whether either side has reset the stream; the connection sets it."""
        self.unacknowledged = 0
        """Bytes taken that are not acknowledged yet; the connection sets it."""
        self._sending = trio.CancelScope()

    @property
    def is_over(self) -> bool:
        """Whether the response is complete or the call has failed, so that nothing can be sent."""
        return self.end_received or self._failure is not None

    async def send_message(self, message: Message, *, end: bool = False) -> None:
        """Send a message; `end` marks the last one.

        Does nothing if the server has already responded: `recv_message` returns the response.

        Raises:
            RpcError: connection, stream or protocol failed.
        """
        await self._send(frame_message(message.SerializeToString()), end=end)

    async def end(self) -> None:
        """Mark the end of the messages."""
        await self._send(b"", end=True)

    def send_from(self, messages: Iterable[Message] | AsyncIterable[Message]) -> None:
        """Send messages from a background task, then end; stops with the call.

        An error of the iterable ends the call, and `recv_message` raises it.
        """

        async def send_all() -> None:
            with self._sending:
                try:
                    if isinstance(messages, AsyncIterable):
                        async for message in messages:
                            await self.send_message(message)
                    else:
                        for message in messages:
                            await self.send_message(message)
                    await self.end()
                except RpcError:
                    pass  # recv_message raises it
                except Exception as exc:  # noqa: BLE001 (of the iterable; recv_message raises it)
                    self.fail(exc)

        self._wire.spawn(send_all)

    def close(self) -> None:
        """End the call, and drop the rest of the response. Does not wait."""
        self._sending.cancel()
        self._wire.release(self)

    async def _send(self, data: bytes, *, end: bool) -> None:
        if isinstance(self._failure, RpcError):
            await trio.lowlevel.checkpoint()
            raise self._failure
        await self._wire.send_data(self, data, end=end)
        if isinstance(self._failure, RpcError):
            raise self._failure

    async def recv_message(self) -> Reply | None:
        """Return the next message, or None at the end of the call with status OK.

        The message of a unary response is returned only after its status, so no error follows it.

        Raises:
            GRPCError: the server returned an error.
            RpcError: connection, stream or protocol failed.
        """
        if self._many:
            return await self._next()
        if self._given:
            await trio.lowlevel.checkpoint()
            return None
        return await self.recv_reply()

    async def recv_reply(self) -> Reply:
        """Return the message of a unary response. Raises the errors of `recv_message`."""
        message = await self._next()
        if message is None:
            raise ProtocolViolationError("the server returned OK without a message")
        if await self._next() is not None:
            raise ProtocolViolationError("the server sent more than one message in a unary response")
        self._given = True
        return message

    def __aiter__(self) -> Self:
        """Iterate over all messages. Raises the errors of `recv_message`."""
        return self

    async def __anext__(self) -> Reply:
        """Return the next message."""
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def _next(self) -> Reply | None:
        await trio.lowlevel.checkpoint()
        while True:
            message = self._parser.next_message()
            if message is not None:
                return decode(self._reply_type, message)
            if self._inbox:
                data, size = self._inbox.popleft()
                self._parser.feed(data)
                self._wire.acknowledge(self, size)
            elif self._failure is not None:
                raise self._failure
            elif self.end_received:
                problem = trailers_problem(self._trailers)
                if problem is None and self._parser.in_message:
                    problem = ProtocolViolationError("the response ended inside a message")
                if problem is not None:
                    raise problem
                return None
            else:
                await self._changed.park()

    # For the connection.

    def receive_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Process the headers of the response, which may also be its end ("Trailers-Only")."""
        fields = dict(headers)
        if b"grpc-status" in fields:
            self.receive_trailers(headers)
            return
        self.initial_metadata = decode_metadata(headers)
        problem = response_problem(fields)
        if problem is not None:
            self.fail(problem)

    def receive_data(self, data: bytes, size: int) -> None:
        """Process bytes of messages; `size` is the part of the window that they used."""
        if self._failure is None:
            self._inbox.append((data, size))
            self._changed.unpark_all()

    def receive_trailers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Process the trailers."""
        self._trailers = dict(headers)
        self.trailing_metadata = decode_metadata(headers)

    def receive_end(self) -> None:
        """Process the end of the response."""
        self.end_received = True
        self._changed.unpark_all()

    def fail(self, failure: Exception) -> None:
        """Let the call fail. The error is raised after the messages received before."""
        if not self.is_over:
            self._failure = failure
            self._changed.unpark_all()
