"""A gRPC server in memory whose every frame the test writes: for what no real server can be made to do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import trio
import trio.testing
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from nodeprefetch.errors import NotConnectedError
from nodeprefetch.rpc.channel import MAX_MESSAGE, Channel, open_channel_to
from nodeprefetch.rpc.frames import frame_message

EventType = TypeVar("EventType", bound=events.Event)

HEAD = ((":status", "200"), ("content-type", "application/grpc"))
"""The headers of an answer that has messages."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message that is its own bytes."""

    data: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 (protobuf's name)
        """The bytes."""
        return self.data

    @classmethod
    def FromString(cls, s: bytes) -> Self:  # noqa: N802 (protobuf's name)
        """The bytes as a message."""
        return cls(bytes(s))


class ScriptedConnection:
    """The server's end of one connection. `http2` may be used directly; `flush` sends what it has ready.

    Args:
        transport: the server's end.
        settings: beside h2's own, sent at once.
    """

    def __init__(self, transport: trio.abc.Stream, settings: dict[SettingCodes, int]) -> None:
        self.transport = transport
        self.http2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http2.local_settings = Settings(client=False, initial_values=settings)
        self.http2.initiate_connection()
        self._waiting: list[events.Event] = []

    async def flush(self) -> None:
        """Send what lies ready."""
        await self.transport.send_all(self.http2.data_to_send())

    async def expect(self, kind: type[EventType], stream_id: int | None = None) -> EventType:
        """The next event of that kind, in that stream if one is named. Others stay for later."""
        while True:
            for event in self._waiting:
                if isinstance(event, kind) and stream_id in {None, getattr(event, "stream_id", None)}:
                    self._waiting.remove(event)
                    return event
            await self.flush()
            data = await self.transport.receive_some(65536)
            if not data:
                raise trio.EndOfChannel
            self._waiting += self.http2.receive_data(bytes(data))

    async def request(self) -> int:
        """Wait for the next call; its stream ID."""
        return (await self.expect(events.RequestReceived)).stream_id

    async def message(self, stream_id: int) -> bytes:
        """The one message of a unary request, its prefix included; the window is opened again at once."""
        received = b""
        while True:
            event = await self.expect(events.DataReceived, stream_id)
            received += event.data
            if event.stream_ended is not None:
                return received
            self.http2.acknowledge_received_data(event.flow_controlled_length, stream_id)

    async def send_head(self, stream_id: int, *more: tuple[str, str]) -> None:
        """Begin an answer."""
        self.http2.send_headers(stream_id, [*HEAD, *more])
        await self.flush()

    async def send_message(self, stream_id: int, data: bytes) -> None:
        """Send one message, all at once: it must fit into a frame and the window."""
        self.http2.send_data(stream_id, frame_message(data))
        await self.flush()

    async def send_status(self, stream_id: int, status: int | str = 0, *more: tuple[str, str]) -> None:
        """End an answer that has begun."""
        self.http2.send_headers(stream_id, [("grpc-status", str(status)), *more], end_stream=True)
        await self.flush()

    async def answer(self, stream_id: int, data: bytes = b"") -> None:
        """A whole unary answer."""
        await self.send_head(stream_id)
        await self.send_message(stream_id, data)
        await self.send_status(stream_id)


class ScriptedServer:
    """What listens: gives out its end of each connection as it comes.

    Args:
        settings: of HTTP/2, for every connection.
        lockstep: whether a write waits until the other end reads, as on a socket whose buffer is full.
    """

    authority = "scripted"

    def __init__(self, settings: dict[SettingCodes, int] | None = None, *, lockstep: bool = False) -> None:
        self.listening = True
        self.delay = trio.lowlevel.checkpoint
        """Awaited by `connect` before it returns."""
        self._settings = settings or {}
        self._make_pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        self._send, self._receive = trio.open_memory_channel[ScriptedConnection](100)

    def __str__(self) -> str:
        return "the scripted server"

    async def connect(self) -> trio.abc.Stream:
        """The client's end of a new connection."""
        if not self.listening:
            raise NotConnectedError("not listening") from ConnectionRefusedError()
        client, server = self._make_pair()
        self._send.send_nowait(ScriptedConnection(server, self._settings))
        await self.delay()
        return client

    async def accept(self) -> ScriptedConnection:
        """Wait for the next connection."""
        return await self._receive.receive()

    @asynccontextmanager
    async def channel(self, *, max_message: int = MAX_MESSAGE) -> AsyncGenerator[Channel]:
        """A channel to this server."""
        async with open_channel_to(self, max_message=max_message) as channel:
            yield channel
