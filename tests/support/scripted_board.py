"""Stands in front of an aggregator and answers for its board, so that a test decides what the page is told."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from urllib.parse import parse_qs, urlsplit

import msgspec

from nodeprefetch.board import AttemptRecord, Board, BoardChange

_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class ScriptedBoard:
    """What the page is told. May be changed while it runs; all that has been sent stays sent.

    Args:
        aggregator_port: serves everything else, on 127.0.0.1.
        prefix: of all paths, as behind a proxy: `/somewhere`.
    """

    def __init__(self, aggregator_port: int, prefix: str = "") -> None:
        self.aggregator_port = aggregator_port
        self.prefix = prefix
        self.board: Board | None = None
        self.attempts: list[AttemptRecord] = []
        self.asked: list[str] = []
        """Paths and queries of all requests, without the prefix."""

        self._readers: set[SimpleQueue[BoardChange | None]] = set()
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.prefix}/"

    def send(self, change: BoardChange) -> None:
        """Tell all who read now; the board is theirs to keep."""
        with self._lock:
            for reader in self._readers:
                reader.put(change)

    def hang_up(self) -> None:
        """End all streams."""
        with self._lock:
            for reader in self._readers:
                reader.put(None)

    @contextmanager
    def reading(self) -> Iterator[SimpleQueue[BoardChange | None]]:
        """A reader's changes."""
        queue: SimpleQueue[BoardChange | None] = SimpleQueue()
        with self._lock:
            self._readers.add(queue)
        try:
            yield queue
        finally:
            with self._lock:
                self._readers.discard(queue)

    @contextmanager
    def running(self) -> Iterator["ScriptedBoard"]:
        """Serve inside the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.hang_up()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, board: ScriptedBoard) -> None:
        self.scripted = board
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Readers leave as they like."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        scripted = self.server.scripted
        if not self.path.startswith(f"{scripted.prefix}/"):
            self._answer(404, b"no such path", {})
            return
        path = self.path.removeprefix(scripted.prefix)
        scripted.asked.append(path)
        parts = urlsplit(path)
        if parts.path == "/v1/board" and scripted.board is not None:
            self._stream(scripted, scripted.board)
        elif parts.path == "/v1/attempts" and scripted.board is not None:
            wanted = parse_qs(parts.query)
            found = [each for each in scripted.attempts if each.image in wanted.get("image", [each.image])]
            answer = {"attempts": found, "more": False}
            self._answer(200, msgspec.json.encode(answer), {"Content-Type": "application/json"})
        else:
            self._pass_on(scripted, path)

    def _stream(self, scripted: ScriptedBoard, board: Board) -> None:
        with scripted.reading() as changes, suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(_message("board", board))
            while (change := changes.get()) is not None:
                self.wfile.write(_message("change", change))

    def _pass_on(self, scripted: ScriptedBoard, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", scripted.aggregator_port, timeout=300)
        try:
            connection.request("GET", path, headers=dict(self.headers.items()))
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.end_headers()
            while part := response.read1():
                self.wfile.write(part)
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`."""


def _message(name: str, data: Board | BoardChange) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
