"""A container runtime without containers: CRI's services on a Unix socket, doing what a script says.

A real gRPC server, and none of ours: grpclib's, on asyncio, in a thread of its own.
"""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from grpclib.server import Server

from nodeprefetch.testing.cri_handlers import HANG, Delay, Hang, Held, MessageCodec, Outcome, Pull, Refusal, Script

__all__ = ["HANG", "Delay", "FakeCriServer", "Hang", "Held", "Outcome", "Pull", "Refusal"]


class FakeCriServer:
    """A container runtime on a Unix socket; a context manager. It can be stopped and started again.

    For example::

        with FakeCriServer(path, {"quay.io/team/app:1": [HANG, Refusal("UNKNOWN", "429"), "sha256:1…"]}) as server:
            ...
            assert [True, False, False] == [pull.was_cancelled for pull in server.pulls]

    Args:
        socket: where it listens.
        outcomes: image, as it is asked for, to what each PullImage of it does; the last outcome stays. An image that
            is not named is not found.
        images: what is held from the start.
        name: `containerd` or `cri-o`.
        version: of the runtime.
    """

    def __init__(
        self,
        socket: Path,
        outcomes: Mapping[str, Sequence[Outcome]] | None = None,
        *,
        images: Iterable[Held] = (),
        name: str = "containerd",
        version: str = "1.6.20~fake",
    ) -> None:
        self.socket = socket
        self._script = Script(outcomes or {}, images, name=name, version=version)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._is_listening = threading.Event()
        self._failure: BaseException | None = None
