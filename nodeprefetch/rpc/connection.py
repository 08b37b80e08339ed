"""One connection: a transport, a session of HTTP/2, and the two tasks between them.

Only the writer task writes to the transport. A caller adds its frames to the session's buffer, which cannot be
interrupted, and wakes the writer. So a cancelled caller never leaves half a frame behind, and its RST_STREAM is sent
although its scope is cancelled. A peer that reads nothing blocks the writer, but neither the reader nor a cancelled
caller.
"""

from collections.abc import Awaitable, Callable

import trio

from nodeprefetch.errors import ConnectionLostError, ProtocolViolationError
from nodeprefetch.rpc.session import Session

_READ_SIZE = 64 * 1024
_GRACE = 0.5
"""Seconds for a closing connection to write its buffer."""


class Connection:
    """A connection in use.

    Args:
        transport: connected to the server. The connection closes it.
        peer: name of the server in errors.
        max_message: size limit of received messages, in bytes.
    """

    def __init__(self, transport: trio.abc.Stream, *, peer: str, max_message: int) -> None:
        self.finished = trio.Event()
        """Set at the end of `run`: the transport is closed, and no task is left."""
        self.session = Session(
            peer=peer,
            max_message=max_message,
            wake_writer=self._wake_writer,
            finish=self.close_soon,
            spawn=self._spawn,
        )
        self._transport = transport
        self._peer = peer
        self._scope = trio.CancelScope(shield=True)
        self._closing = False
        self._broken: Exception | None = None
        self._to_write = trio.Event()
        self._tasks: trio.Nursery | None = None
        self._waiting: list[Callable[[], Awaitable[None]]] = []

    async def run(self) -> None:
        """Read and write until the connection ends. Shielded: only `close_soon` or `aclose` stop it earlier."""
        try:
            with self._scope:
                async with trio.open_nursery() as tasks:
                    self._tasks = tasks
                    for function in (self._read, *self._waiting):
                        tasks.start_soon(function)
                    await self._write()
                    tasks.cancel_scope.cancel()
        finally:
            end = "lost" if self._broken else "closed"
            self.session.fail(ConnectionLostError, f"connection to {self._peer} {end}", self._broken)
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._transport)
            self.finished.set()

    def close_soon(self) -> None:
        """Accept no more calls, and end when the buffer is written, within half a second."""
        self._closing = True
        self.session.retire()
        self._wake_writer()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + _GRACE)

    async def aclose(self) -> None:
        """End the connection as `close_soon` does, and wait for that. Not interrupted by cancellation."""
        self.close_soon()
        with trio.CancelScope(shield=True):
            await self.finished.wait()

    def _spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        if self._tasks is None:
            self._waiting.append(function)
        else:
            self._tasks.start_soon(function)

    def _wake_writer(self) -> None:
        self._to_write.set()

    async def _write(self) -> None:
        while True:
            data = self.session.take_buffer()
            if data:
                try:
                    await self._transport.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                    # Responses that the server sent before may still have to be read.
                    self._broken = exc
                    self.close_soon()
                    await trio.sleep_forever()
            elif self._closing:
                return
            else:
                self._to_write = trio.Event()
                await self._to_write.wait()

    async def _read(self) -> None:
        while True:
            try:
                data = await self._transport.receive_some(_READ_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                self.session.fail(ConnectionLostError, f"connection to {self._peer} lost", exc)
                break
            if not data:
                self.session.fail(ConnectionLostError, f"{self._peer} closed the connection")
                break
            try:
                self.session.receive(bytes(data))
            except ProtocolViolationError:
                self.close_soon()
                return
        self._scope.cancel()
