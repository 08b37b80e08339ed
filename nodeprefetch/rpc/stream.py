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
    """What a stream needs of its connection."""

    async def send_data(self, stream: "Stream[Reply]", data: bytes, *, end: bool) -> None:
        """Send, as fast as the server's flow control lets us."""
        ...

    def acknowledge(self, stream: "Stream[Reply]", size: int) -> None:
        """Tell the server that so many bytes of the stream have been used up."""
        ...

    def release(self, stream: "Stream[Reply]") -> None:
        """Forget the stream, with RST_STREAM(CANCEL) if it has not ended."""
        ...

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run something beside the caller, as long as the connection lives."""
        ...


class Stream(Generic[Reply]):
    """One call. Made by `Channel.request`, whose block it lives in.

    What arrives is kept until it is asked for, and only then does the server's window open again: a slow
    reader holds one window's worth of bytes.
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
        """What came with the head of the answer; there before the first message is."""
        self.trailing_metadata: Metadata = ()
        """What came with the status; there when the call has ended, also with a GRPCError."""
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
        """Bytes used up that the server has not been told of; the connection's."""
        self._sending = trio.CancelScope()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more, because the answer is complete or the call has failed."""
        return self.end_received or self._failure is not None

    async def send_message(self, message: Message, *, end: bool = False) -> None:
        """Send a message; with `end` it is the last.

        Returns without sending when the server has given its answer already: `recv_message` has it.

        Raises:
            RpcError: the call failed below the answer.
        """
        await self._send(frame_message(message.SerializeToString()), end=end)

    async def end(self) -> None:
        """Say that no more messages will come."""
        await self._send(b"", end=True)

    def send_from(self, messages: Iterable[Message] | AsyncIterable[Message]) -> None:
        """Send messages from a task beside, then end; stops when the call is over.

        An error of the iterable ends the call: `recv_message` raises it.
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
                    pass  # the call's failure: its caller gets it
                except Exception as exc:  # noqa: BLE001 (the caller's own, handed over to it)
                    self.fail(exc)

        self._wire.spawn(send_all)

    def close(self) -> None:
        """End the call: what has not come is not wanted any more. Waits for nothing."""
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
        """The next message, or None when the server has ended the call with status OK.

        The one message of a unary answer is given out when the status has come too: no error follows it.

        Raises:
            GRPCError: the server answered with an error.
            RpcError: the call failed below the answer.
        """
        if self._many:
            return await self._next()
        if self._given:
            await trio.lowlevel.checkpoint()
            return None
        return await self.recv_reply()

    async def recv_reply(self) -> Reply:
        """The one message of a unary answer, with the errors of `recv_message`."""
        message = await self._next()
        if message is None:
            raise ProtocolViolationError("the server returned OK without a message")
        if await self._next() is not None:
            raise ProtocolViolationError("the server sent more than one message in a unary response")
        self._given = True
        return message

    def __aiter__(self) -> Self:
        """All messages to come; the errors of `recv_message`."""
        return self

    async def __anext__(self) -> Reply:
        """The next message, or the end."""
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

    # The connection's side.

    def receive_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of the answer; all of it when there is nothing but a status ("Trailers-Only")."""
        fields = dict(headers)
        if b"grpc-status" in fields:
            self.receive_trailers(headers)
            return
        self.initial_metadata = decode_metadata(headers)
        problem = response_problem(fields)
        if problem is not None:
            self.fail(problem)

    def receive_data(self, data: bytes, size: int) -> None:
        """Bytes of messages, and how much of the window they used."""
        if self._failure is None:
            self._inbox.append((data, size))
            self._changed.unpark_all()

    def receive_trailers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """The end of the answer."""
        self._trailers = dict(headers)
        self.trailing_metadata = decode_metadata(headers)

    def receive_end(self) -> None:
        """Nothing more will come."""
        self.end_received = True
        self._changed.unpark_all()

    def fail(self, failure: Exception) -> None:
        """The call cannot end well: the error comes out after the messages that came before it."""
        if not self.is_over:
            self._failure = failure
            self._changed.unpark_all()
