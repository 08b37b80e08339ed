"""Hypercorn's HTTP/2 with bounds on what clients cost that do not read responses, or that reset streams.

docs/upstream/hypercorn-stream-buffer.md is the report for upstream.
"""

from typing import Any

import h2.events
import h2.exceptions
import h2.settings
import trio
from h2.errors import ErrorCodes
from hypercorn.events import Closed, Updated
from hypercorn.protocol import h2 as hypercorn_h2
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.typing import WorkerContext

from nodeprefetch.aggregator.counters import Counters
from nodeprefetch.aggregator.settings import Bounds

_TOLERATED = 100
"""Concurrent streams that a client may open before it knows our settings; those beyond our limit are refused singly."""

_RESETS = 100
"""Resets and refusals of streams on one connection before it is closed (CVE-2023-44487)."""


class StreamBuffer(hypercorn_h2.StreamBuffer):
    """The part of a response that waits for the client's window: at most one part beyond the high-water mark."""

    async def push(self, data: bytes) -> None:
        """Add a part, and wait until the client has read most of the buffer."""
        if self._complete:
            raise hypercorn_h2.BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= hypercorn_h2.BUFFER_HIGH_WATER:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Remove and return what the window allows."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < hypercorn_h2.BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class _Gone:
    """Ignores frames for a stream that has ended here: the client may not know yet."""

    idle = True

    async def handle(self, event: StreamEvent) -> None:
        pass


class _Streams(dict[int, object]):
    def __missing__(self, _: int) -> _Gone:
        return _Gone()


class _Buffers(dict[int, StreamBuffer]):
    """Replaces the buffers of Hypercorn's class by ours."""

    def __init__(self, context: WorkerContext) -> None:
        self._event_class = context.event_class

    def __setitem__(self, stream_id: int, _: object) -> None:
        super().__setitem__(stream_id, StreamBuffer(self._event_class))


class Http2(hypercorn_h2.H2Protocol):
    """One HTTP/2 connection.

    Args:
        hypercorns: the arguments of Hypercorn's own class.
        bounds: of concurrent streams, and of the time that a part of a response may wait.
        counters: count streams that are reset or refused.
    """

    def __init__(self, *hypercorns: Any, bounds: Bounds, counters: Counters) -> None:
        super().__init__(*hypercorns)
        self._bounds = bounds
        self._counters = counters
        self._resets = 0
        self.streams = _Streams()  # type: ignore[assignment]
        self.stream_buffers = _Buffers(self.context)  # type: ignore[assignment]
        self.connection.decoder.max_header_list_size = self.config.h2_max_header_list_size

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        """Send our settings; then tolerate more streams than they allow, which would be a connection error."""
        await super().initiate(headers, settings)
        values: dict[Any, int] = dict(self.connection.local_settings)
        values[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = _TOLERATED
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=values)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response; reset the stream if the client does not read it in time."""
        with trio.move_on_after(self._bounds.stuck_time) as scope:
            if isinstance(event, StreamClosed) and not self._is_complete(event.stream_id):
                await self._reset(event.stream_id, ErrorCodes.INTERNAL_ERROR)
            else:
                await super().stream_send(event)
        if scope.cancelled_caught:
            self._counters.stuck_answers += 1
            await self._reset(event.stream_id, ErrorCodes.CANCEL)
            await trio.lowlevel.checkpoint()  # lets the cancelled handler notice before it makes another part

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        self._resets += sum(isinstance(event, h2.events.StreamReset) for event in events)
        if self._resets > _RESETS:
            self._counters.refused["too_many_resets"] += 1
            self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            await self._flush()
            await self.send(Closed())
            return
        await super()._handle_events(events)
        if self._resets:  # Hypercorn does not report this after the last stream was reset
            await self.send(Updated(idle=self.idle))

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        if len(self.stream_buffers) < self._bounds.streams:
            await super()._create_stream(request)
            return
        self._counters.refused["too_many_streams"] += 1
        self._resets += 1
        self.connection.reset_stream(request.stream_id, ErrorCodes.REFUSED_STREAM)

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """Ignore priorities, which RFC 9113 has deprecated."""

    def _is_complete(self, stream_id: int) -> bool:
        buffer = self.stream_buffers.get(stream_id)
        return buffer is None or buffer._complete  # noqa: SLF001 - we extend this class of Hypercorn

    async def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Reset a stream whose response will never be complete, and end its handler."""
        try:
            self.connection.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:  # the stream or the connection has ended meanwhile
            return
        if stream_id in self.stream_buffers:
            await self.stream_buffers[stream_id].close()
        await self._window_updated(stream_id)  # lets the sending task notice
        await self._flush()
        await self._close_stream(stream_id)
        await self.send(Updated(idle=self.idle))
