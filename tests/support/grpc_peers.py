"""gRPC servers that nobody here wrote, grpclib's and grpcio's, each in a process of its own, all with one service.

The service `/test.Echo` knows bytes alone, so no protobuf stands between the wire and the test:

| method | shape | does |
|---|---|---|
| Unary | unary | gives the request back |
| Fail | unary | fails with status and text of the request, `5 not found` |
| Metadata | unary | gives metadata named `x-…` back, as initial and as trailing metadata |
| TimeLeft | unary | seconds until the deadline it was told, or `none` |
| Hang | unary | never answers |
| Hanging | unary | how many calls of Hang have begun, and how many of them were cancelled: `2 1` |
| Count | server streaming | `number size`: so many messages of so many bytes |
| Sum | client streaming | the number of messages and of bytes |
| Early | client streaming | answers after the first message |
| Chat | both streaming | gives each message back at once |
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.spawn import Background, Daemon

KINDS = ("grpclib", "grpcio")


class GrpcPeer(Background):
    """A server in the background; a context manager.

    Args:
        kind: `grpclib` or `grpcio`.
        directory: for its socket and log.
        tcp: listen at a port of 127.0.0.1 in place of a Unix socket.
    """

    def __init__(self, kind: str, directory: Path, *, tcp: bool = False) -> None:
        self._kind = kind
        self._log = directory / f"{kind}.log"
        self._socket = directory / f"{kind}.sock"
        self._port = 0
        self._tcp = tcp
        self._daemon: Daemon | None = None

    @property
    def address(self) -> str:
        """What `open_channel` is given."""
        return f"127.0.0.1:{self._port}" if self._tcp else f"unix://{self._socket}"

    @property
    def _running(self) -> Daemon:
        if self._daemon is None:
            raise RuntimeError("the server has not been started")
        return self._daemon

    def start(self) -> None:
        """Start, at the same address as before if there was one; returns when it listens."""
        with suppress(FileNotFoundError):
            self._socket.unlink()
        self._log.write_text("")
        where = str(self._port) if self._tcp else str(self._socket)
        command = [sys.executable, "-m", f"tests.support.grpc_echo_{self._kind}", where]
        self._daemon = Daemon(command, self._log, {"PYTHONUNBUFFERED": "1"})
        self._port = self._daemon.wait_for_port()

    def stop(self) -> None:
        """End it by SIGKILL."""
        if self._daemon is not None:
            self._daemon.kill()

    def freeze(self) -> None:
        """Let it neither read nor write, until `thaw`."""
        os.kill(self._running.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """End `freeze`."""
        os.kill(self._running.pid, signal.SIGCONT)
