"""A slow network: a TCP proxy whose connections share one rate towards the client."""

import asyncio
import threading
import time
from types import TracebackType
from typing import Self

_PORTION = 16 * 1024


class SharedLine:
    """Listens on 127.0.0.1 in its own thread; a context manager.

    Args:
        target: `HOST:PORT` to connect to.
        bytes_per_second: of all connections together.
    """

    def __init__(self, target: str, bytes_per_second: float) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._ready = threading.Event()
        self._passages: set[asyncio.Task[None]] = set()
        self._port = 0
        self.passed = 0
        """Bytes sent to clients so far."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="narrow line", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._port}"

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        await asyncio.gather(*self._passages)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = asyncio.current_task()
        assert passage
        self._passages.add(passage)
        away_reader, away_writer = await asyncio.open_connection(*self._target)
        ends = [_copy(reader, away_writer), self._down(away_reader, writer), self._stop.wait()]
        tasks = [asyncio.ensure_future(end) for end in ends]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)  # whichever ends first: HTTP needs both ways
        for task in tasks:
            task.cancel()
        writer.close()
        away_writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._passages.discard(passage)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PORTION):
            await self._wait_for_room(len(data))
            writer.write(data)
            await writer.drain()
            self.passed += len(data)

    async def _wait_for_room(self, size: int) -> None:
        """Send each chunk after all earlier ones of any connection."""
        begins = max(self._free_at, time.monotonic())
        self._free_at = begins + size / self._rate
        await asyncio.sleep(begins - time.monotonic())


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PORTION):
        writer.write(data)
        await writer.drain()
