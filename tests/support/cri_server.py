"""A container runtime without containers: CRI's services on a Unix socket, doing what a script says.

A real gRPC server, and none of ours: grpclib's, on asyncio, in a thread of its own.
"""

import asyncio
import socket as sockets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from grpclib.protocol import H2Protocol
from grpclib.server import Server

from nodeprefetch.rpc import cri
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.testing.service import HANG, Hang
from tests.support.cri_directories import CrioDownloads
from tests.support.cri_handlers import CriHandlers, MessageCodec
from tests.support.cri_script import FROM_REGISTRY, CriScript, Outcome, Pull, Refusal
from tests.support.spawn import Background

__all__ = ["FROM_REGISTRY", "HANG", "CrioDownloads", "FakeCriServer", "Hang", "Outcome", "Pull", "Refusal"]


class FakeCriServer(Background):
    """A container runtime on a Unix socket; a context manager. It can be stopped and started again.

    For example::

        outcomes = {"quay.io/team/app:1": [HANG, Refusal("UNKNOWN", "… 503 Service Unavailable"), "sha256:…"]}
        with FakeCriServer(path, outcomes) as server:
            ...
        assert [True, False, False] == [pull.was_cancelled for pull in server.pulls]

    Args:
        socket: where it listens.
        outcomes: image to what each PullImage of it does; the last outcome stays. Images are compared as the
            runtime normalises their names.
        otherwise: the outcome for images that are not named; not found without it. FROM_REGISTRY is useful here.
        images: what is held from the start.
        name: what Version says: `containerd`, `cri-o`.
        version: what Version says of the runtime.
        downloads: where FROM_REGISTRY keeps what arrives, as CRI-O does; None: nowhere.
    """

    def __init__(
        self,
        socket: Path,
        outcomes: Mapping[str, Sequence[Outcome]] | None = None,
        *,
        otherwise: Outcome | None = None,
        images: Iterable[ImageRecord] = (),
        name: str = "containerd",
        version: str = "1.6.20~fake",
        downloads: CrioDownloads | None = None,
    ) -> None:
        self.socket = socket
        self._script = CriScript(outcomes or {}, images, otherwise)
        self._version = cri.VersionResponse(
            version="0.1.0", runtime_name=name, runtime_version=version, runtime_api_version="v1"
        )
        self._downloads = downloads
        self._running: _Running | None = None

    @property
    def pulls(self) -> tuple[Pull, ...]:
        """Every PullImage so far, in the order in which they came."""
        return self._script.pulls

    def wait_until(self, is_enough: Callable[[tuple[Pull, ...]], bool]) -> tuple[Pull, ...]:
        """Block this thread until the pulls satisfy the condition; they are returned.

        Raises:
            TimeoutError: they did not within five minutes.
        """
        return self._script.wait_until(is_enough)

    @property
    def asked(self) -> tuple[str, ...]:
        """The methods called so far, in order: `Version`, `PullImage`, …."""
        return self._script.asked

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        """What is held."""
        return self._script.images

    def plan(self, image: str, *outcomes: Outcome) -> None:
        """From now on, pulls of this image do this; the last outcome stays."""
        self._script.plan(image, *outcomes)

    def start(self) -> None:
        """Listen. What is held, and how far the script is, stays from before.

        Raises:
            OSError: the socket cannot be made.
        """
        if self._running is None:
            handlers = CriHandlers(self._script, self._version, str(self.socket.parent), self._downloads)
            self._running = _Running(self.socket, handlers)

    def kill(self) -> None:
        """Cut all connections and calls, and leave the socket's file behind, as a crash does."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def stop(self) -> None:
        """Cut all connections and calls, and take the socket's file away."""
        self.kill()
        self.socket.unlink(missing_ok=True)


class _Server(Server):
    """grpclib's server, which by itself does not close its connections."""

    def __init__(self, handlers: CriHandlers) -> None:
        super().__init__([handlers], codec=MessageCodec())
        self._protocols: list[H2Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.append(protocol)
        return protocol

    def close(self) -> None:
        """Cancel all calls and close all connections."""
        super().close()
        for protocol in self._protocols:
            if hasattr(protocol, "processor"):
                protocol.processor.close(reason="the server stops")


class _Running:
    """The thread of a server between its start and its stop."""

    def __init__(self, path: Path, handlers: CriHandlers) -> None:
        self._handlers = handlers
        path.unlink(missing_ok=True)
        self._socket = sockets.socket(sockets.AF_UNIX)
        try:
            self._socket.bind(str(path))
        except OSError:
            self._socket.close()
            raise
        self._socket.listen(128)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fake CRI server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._handlers.is_stopping = True
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = _Server(self._handlers)
        await server.start(sock=self._socket)
        await self._stopping.wait()
        server.close()
        with suppress(TimeoutError):  # a call whose client was killed in the middle of an answer may wait for it again
            async with asyncio.timeout(5):
                await server.wait_closed()
