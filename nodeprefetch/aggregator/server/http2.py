"""HTTP/2 as Hypercorn speaks it, but what a client does not take, or takes back, costs a bounded amount.

docs/upstream/hypercorn-stream-buffer.md is the case for upstream.
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
"""Streams at once that a client may ask for before it knows our settings; those beyond our bound are refused singly."""

_RESETS = 100
"""Streams that one connection may take back, or be refused, before it is closed (CVE-2023-44487)."""


class StreamBuffer(hypercorn_h2.StreamBuffer):
    """What of an answer waits for the client's window: never more than one part beyond the high-water mark."""

    async def push(self, data: bytes) -> None:
        """Add a part, and wait until the client has taken most of what there is."""
        if self._complete:
            raise hypercorn_h2.BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= hypercorn_h2.BUFFER_HIGH_WATER:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take what the window lets through."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < hypercorn_h2.BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class _Gone:
    """Takes what comes for a stream that has ended here: a client may not know yet."""

    idle = True

    async def handle(self, event: StreamEvent) -> None:
        pass


class _Streams(dict[int, object]):
    def __missing__(self, _: int) -> _Gone:
        return _Gone()


class _Buffers(dict[int, StreamBuffer]):
    """Hypercorn makes buffers of its own class; ours take their place."""

    def __init__(self, context: WorkerContext) -> None:
        self._event_class = context.event_class

    def __setitem__(self, stream_id: int, _: object) -> None:
        super().__setitem__(stream_id, StreamBuffer(self._event_class))


class Http2(hypercorn_h2.H2Protocol):
    """One HTTP/2 connection.

    Args:
        hypercorns: what Hypercorn's own class takes.
        bounds: streams at once, and the time that a part of an answer may wait.
        counters: of streams that were ended.
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
        """Say our settings; then let more streams pass than they allow, which would be an error of the connection."""
        await super().initiate(headers, settings)
        values: dict[Any, int] = dict(self.connection.local_settings)
        values[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = _TOLERATED
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=values)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of an answer; reset the stream when the client does not take it in its time."""
        with trio.move_on_after(self._bounds.stuck_time) as scope:
            if isinstance(event, StreamClosed) and not self._is_complete(event.stream_id):
                await self._reset(event.stream_id, ErrorCodes.INTERNAL_ERROR)
            else:
                await super().stream_send(event)
        if scope.cancelled_caught:
            self._counters.stuck_answers += 1
            await self._reset(event.stream_id, ErrorCodes.CANCEL)
            await trio.lowlevel.checkpoint()  # the handler is cancelled, and finds out before it makes another part

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        self._resets += sum(isinstance(event, h2.events.StreamReset) for event in events)
        if self._resets > _RESETS:
            self._counters.refused["too_many_resets"] += 1
            self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            await self._flush()
            await self.send(Closed())
            return
        await super()._handle_events(events)
        if self._resets:  # Hypercorn does not say so after the last stream was taken back
            await self.send(Updated(idle=self.idle))

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        if len(self.stream_buffers) < self._bounds.streams:
            await super()._create_stream(request)
            return
        self._counters.refused["too_many_streams"] += 1
        self._resets += 1
        self.connection.reset_stream(request.stream_id, ErrorCodes.REFUSED_STREAM)

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """RFC 9113 has no priorities any more: no work for them."""

    def _is_complete(self, stream_id: int) -> bool:
        buffer = self.stream_buffers.get(stream_id)
        return buffer is None or buffer._complete  # noqa: SLF001 - of a class of Hypercorn's that we extend

    async def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End a stream whose answer will never be whole, and its handler."""
        try:
            self.connection.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:  # it, or the connection, has ended meanwhile
            return
        if stream_id in self.stream_buffers:
            await self.stream_buffers[stream_id].close()
        await self._window_updated(stream_id)  # lets the sending task find that it is over
        await self._flush()
        await self._close_stream(stream_id)
        await self.send(Updated(idle=self.idle))
