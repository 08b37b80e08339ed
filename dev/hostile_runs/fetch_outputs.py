"""Attacks on outputs of `fetch`: unread pipes, full devices, closed streams, terminals that obey escapes."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

from hostile_runs.attack import Run, attack
from hostile_runs.fetching import fetch, list_file, start, wait
from tests.support.cri_server import FakeCriServer, Refusal

SIGTERM_CODE = 128 + signal.SIGTERM


@attack("outputs", "standard error is a pipe that nobody reads; 3,000 images")
def unread_stderr(run: Run) -> None:
    """The overall timeout and the first SIGTERM still work."""
    socket = run.directory / "s.sock"
    names = list_file(run, [f"r.test/a{number}:1" for number in range(3000)])
    refusal = Refusal("UNKNOWN", "x" * 500)
    with FakeCriServer(socket, otherwise=refusal):
        for signalled in (False, True):
            read, write = os.pipe()
            process = start(
                "fetch",
                f"--cri-socket={socket}",
                names,
                "--overall-timeout=6s" if not signalled else "--overall-timeout=60s",
                stderr=write,
            )
            os.close(write)
            if signalled:
                time.sleep(6)
                process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code = wait(run, process, 20)
            taken = time.monotonic() - began
            os.close(read)
            run.count += 1
            what = "SIGTERM" if signalled else "the overall timeout"
            run.expect(code is not None, f"{what} does not end it within 20 s")
            run.expect(taken < 15, f"{what} ends it after {taken:.0f} s")


@attack("outputs", "standard error and output are /dev/full, closed, or a pipe whose reader left")
def odd_streams(run: Run) -> None:
    """Pulls go on and determine the exit code."""
    socket = run.directory / "s.sock"
    with FakeCriServer(socket, otherwise="sha256:1"), open("/dev/full", "wb") as full:  # noqa: PTH123
        read, write = os.pipe()
        os.close(read)
        for what, number in (("/dev/full", full.fileno()), ("a pipe without a reader", write)):
            process = start(
                "fetch", f"--cri-socket={socket}", "--overall-timeout=10s", "a:1", "b:1", stderr=number, stdout=number
            )
            code = wait(run, process, 30)
            run.count += 1
            run.expect(code == 0, f"{what}: exited with {code}")
        os.close(write)
        shell = f'exec "$0" -m nodeprefetch fetch --cri-socket={socket} --overall-timeout=10s a:1 2>&- >&- <&-'
        process = subprocess.Popen(["/bin/sh", "-c", shell, sys.executable])
        code = wait(run, process, 30)
        run.expect(code == 0, f"closed streams: exited with {code}")


def _on_terminal(run: Run, *arguments: str) -> tuple[int | None, bytes]:
    """Return what `fetch` writes to a terminal."""
    ours, theirs = pty.openpty()
    process = start(*arguments, stderr=theirs, stdout=theirs, stdin=theirs, environment={"TERM": "xterm-256color"})
    os.close(theirs)
    sent, ends = b"", time.monotonic() + 25
    while time.monotonic() < ends:
        if select.select([ours], [], [], 0.2)[0]:
            with suppress(OSError):
                part = os.read(ours, 65536)
                sent += part
                continue
            break
        if process.poll() is not None:
            break
    code = wait(run, process, 5)
    os.close(ours)
    run.count += 1
    return code, sent


@attack("outputs", "runtimes and images whose names are markup, escapes, bidirectional")
def names_for_terminals(run: Run) -> None:
    """They are shown as plain text, on a terminal and in both log formats."""
    nasty = ("\x1b]0;pwned\x07", "\x1b[2J", "[/x]", "[bold red]", "\x9b2J", "\u202eabc", "\x85", "\u2028")
    for number, name in enumerate(nasty):
        socket = run.directory / f"s{number}.sock"
        with FakeCriServer(socket, {"a:1": [Refusal("UNKNOWN", f"error {name}")]}, name=name, version=name):
            flags = (f"--cri-socket={socket}", "--overall-timeout=4s", "--debug", "a:1")
            code, sent = _on_terminal(run, "fetch", *flags)
            run.expect(code is not None and b"Traceback" not in sent, f"{name!r}: code {code}, a traceback or no exit")
            run.expect(
                not any(each in sent for each in (b"\x1b]0;", b"\x1b[2J", b"\xc2\x9b", b"\xe2\x80\xae")),
                f"{name!r} reaches the terminal raw",
            )
            for form in ("logfmt", "json"):
                ended = fetch(run, f"--log-format={form}", *flags)
                run.expect(
                    not {"\x1b", "\x9b", "\u202e", "\x85", "\u2028"} & {*ended.err},
                    f"{name!r} is in the {form} log raw",
                )
