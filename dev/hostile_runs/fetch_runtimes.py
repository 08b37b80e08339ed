"""Hostile runtimes: zeros, silence, garbage, endless responses; and pulls that hang while `fetch` is killed."""

import os
import signal
import socket as sockets
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpack import Encoder

from hostile_runs import raw_http2 as http2
from hostile_runs.attack import Run, attack
from hostile_runs.fetching import fetch, list_file, small_memory, start
from hostile_runs.raw_http2 import frame
from tests.support.cri_server import HANG, FakeCriServer, Refusal

Speaks = Callable[[sockets.socket], None]


@contextmanager
def runtime(path: Path, speaks: Speaks) -> Iterator[None]:
    """Run a runtime that sends this on each connection."""
    listener = sockets.socket(sockets.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)

    def serve(connection: sockets.socket) -> None:
        with suppress(OSError), connection:
            speaks(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.close()


def _answer(message: bytes, *, trailers: bool = True) -> Speaks:
    """Send this message to the first call of a connection, as far as the window permits."""

    def speak(connection: sockets.socket) -> None:
        connection.sendall(frame(http2.SETTINGS) + frame(http2.SETTINGS, flags=1))
        time.sleep(0.3)
        head = Encoder().encode([(":status", "200"), ("content-type", "application/grpc")])
        connection.sendall(frame(http2.HEADERS, head, flags=http2.END_HEADERS, stream=1))
        threading.Thread(target=_drain, args=(connection,), daemon=True).start()
        data = b"\0" + struct.pack(">I", len(message)) + message
        for start_at in range(0, len(data), 16_384):
            connection.sendall(frame(http2.DATA, data[start_at : start_at + 16_384], stream=1))
        if trailers:
            end = Encoder().encode([("grpc-status", "0")])
            connection.sendall(frame(http2.HEADERS, end, flags=http2.END_HEADERS | http2.END_STREAM, stream=1))
        time.sleep(30)

    return speak


def _drain(connection: sockets.socket) -> None:
    with suppress(OSError):
        while connection.recv(65536):
            pass


def _repeat(data: bytes) -> Speaks:
    def speak(connection: sockets.socket) -> None:
        threading.Thread(target=_drain, args=(connection,), daemon=True).start()
        while True:
            connection.sendall(data)

    return speak


def _silent(connection: sockets.socket) -> None:
    time.sleep(30)
    connection.close()


RUNTIMES: dict[str, Speaks] = {
    "2 MiB of zeros": _answer(bytes(2 << 20)),
    "60 KiB of zeros": _answer(bytes(60 << 10)),
    "16 MiB of zeros": _answer(bytes(16 << 20)),
    "unknown fields": _answer(b"\xfa\x7f\x01x" * 200_000),
    "a string of 4 MiB": _answer(b"\x12" + b"\x80\x80\x80\x02" + b"x" * (4 << 20)),
    "an answer without end": _answer(b"\x0a\x02v1", trailers=False),
    "silence": _silent,
    "PING": _repeat(frame(http2.SETTINGS) + frame(http2.PING, bytes(8)) * 100),
    "SETTINGS": _repeat(frame(http2.SETTINGS) * 100),
    "CONTINUATION": _repeat(
        frame(http2.SETTINGS)
        + frame(http2.HEADERS, b"\x88", stream=1)
        + frame(http2.CONTINUATION, b"\x88" * 1000, stream=1) * 100
    ),
    "GOAWAY": _repeat(frame(http2.SETTINGS) + frame(http2.GOAWAY, bytes(8)) * 100),
    "noise": _repeat(os.urandom(10_000)),
    "text": _repeat(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


@attack("runtimes", f"{len(RUNTIMES)} runtimes that send zeros, floods, noise or nothing")
def hostile_answers(run: Run) -> None:
    """`--runtime-wait` and the overall timeout work."""
    for number, (name, speaks) in enumerate(RUNTIMES.items()):
        path = run.directory / f"r{number}.sock"
        with runtime(path, speaks):
            ended = fetch(run, f"--cri-socket={path}", "--overall-timeout=5s", "--runtime-wait=2s", "a:1", patience=15)
            run.expect(ended.code not in (None, 0), f"{name}: exited with {ended.code} after {ended.seconds:.0f} s")
    small_memory(run)


@attack("runtimes", "SIGTERM while a runtime answers 2 MiB of zeros")
def stopped_in_an_answer(run: Run) -> None:
    """The first signal ends it."""
    path = run.directory / "r.sock"

    def terminate(process: object) -> None:
        time.sleep(3)
        process.send_signal(signal.SIGTERM)  # type: ignore[attr-defined] # a process

    with runtime(path, RUNTIMES["2 MiB of zeros"]):
        ended = fetch(
            run,
            f"--cri-socket={path}",
            "--overall-timeout=60s",
            "--runtime-wait=60s",
            "a:1",
            patience=15,
            meanwhile=terminate,
        )
        run.expect(ended.code is not None, "SIGTERM does not end it")


@attack("runtimes", "SIGKILL of fetch while its pull hangs")
def killed_in_a_pull(run: Run) -> None:
    """The runtime cancels the pull each time."""
    for number in range(5):
        path = run.directory / f"k{number}.sock"
        with FakeCriServer(path, {"a:1": [HANG]}) as server:
            process = start("fetch", f"--cri-socket={path}", "a:1", stderr=os.open(os.devnull, os.O_WRONLY))
            server.wait_until(lambda pulls: len(pulls) == 1)
            process.kill()
            process.wait()
            server.wait_until(lambda pulls: pulls[0].ended is not None)
            run.count += 1


@attack("runtimes", "a pull that crashes the runtime each time, for 20 s")
def runtime_that_falls(run: Run) -> None:
    """Delays grow: it is not pulled once a second."""
    path = run.directory / "f.sock"
    stopping = threading.Event()
    with FakeCriServer(path, {"a:1": [HANG]}) as server:

        def fall() -> None:
            seen = 0
            while not stopping.wait(0.05):
                if len(server.pulls) > seen:
                    seen = len(server.pulls)
                    server.kill()
                    time.sleep(0.2)
                    server.start()

        threading.Thread(target=fall, daemon=True).start()
        fetch(run, f"--cri-socket={path}", "--overall-timeout=20s", "a:1", patience=40)
        stopping.set()
        time.sleep(0.5)
        run.count = len(server.pulls)
        run.expect(run.count <= 12, f"{run.count} pulls in 20 s")


@attack("runtimes", "64 descriptors, 500 images, all at once")
def few_descriptors(run: Run) -> None:
    """All are pulled."""
    path = run.directory / "d.sock"
    with FakeCriServer(path, otherwise="sha256:1") as server:
        names = list_file(run, [f"r.test/a{number}:1" for number in range(500)])
        flags = f"--cri-socket={path} --max-parallel-pulls=0 --overall-timeout=30s {names}"
        shell = f'ulimit -n 64; exec "$0" -m nodeprefetch fetch {flags} 2>/dev/null'
        ended = subprocess.run(["/bin/sh", "-c", shell, sys.executable], timeout=60, check=False)
        run.count = len(server.pulls)
        run.expect(ended.returncode == 0, f"exited with {ended.returncode}")


@attack("runtimes", "pull errors that are huge, full of control characters, or lie about their code")
def hostile_errors(run: Run) -> None:
    """Each is one line of limited length."""
    path = run.directory / "e.sock"
    texts = ("x" * 100_000, "a\nlevel=ERROR msg=fake", "\x1b[2J", "\0", "\u202e", "%s%n", "\ud7ff")
    outcomes = {f"r.test/a{number}:1": [Refusal("UNKNOWN", text)] for number, text in enumerate(texts)}
    with FakeCriServer(path, outcomes):
        ended = fetch(
            run, f"--cri-socket={path}", "--overall-timeout=5s", "--log-format=logfmt", *outcomes, patience=20
        )
        run.expect(ended.code == 1, f"exited with {ended.code}")
        longest = max(map(len, ended.err.splitlines()), default=0)
        run.expect(longest < 20_000, f"a line has {longest} characters")
        run.expect("\nlevel=ERROR msg=fake" not in ended.err, "an error forges a line")
        run.expect(not {"\x1b", "\u202e", "\0"} & {*ended.err}, "raw control characters are printed")
    small_memory(run)
