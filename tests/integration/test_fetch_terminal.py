"""Who is watching: a terminal gets a live table; without one of the standard streams all works as well."""

import os
import pty
import signal
import socket
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import (
    RunFetch,
    Start,
    StartFetch,
    command,
    fetch_arguments,
    private_environment,
)
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

SHOW_CURSOR = "\x1b[?25h"


class Terminal:
    """A terminal of our own, as standard error of the program.

    Args:
        arguments: the program's command line.
    """

    def __init__(self, arguments: list[str]) -> None:
        self._screen, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 200))
        self.process = subprocess.Popen(
            command(arguments), stderr=theirs, env=private_environment({"TERM": "xterm"}), start_new_session=True
        )
        os.close(theirs)

    def read_to_the_end(self) -> str:
        """All that was written, until the program has left."""
        parts = []
        with suppress(OSError):  # EIO: nobody has the other end open
            while part := os.read(self._screen, 1 << 16):
                parts.append(part)
        return b"".join(parts).decode()

    def close(self) -> None:
        """Close it, whatever the program does then."""
        if self._screen >= 0:
            os.close(self._screen)
        self._screen = -1


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
        terminal.process.kill()
        terminal.process.wait()


@pytest.mark.containerd
def test_a_terminal_gets_a_table(
    containerd: Containerd, fake_registry: FakeRegistry, terminals: list[Terminal]
) -> None:
    there = fake_registry.add("terminal/there:1", make_image(seed="terminal"))
    missing = f"{fake_registry.address}/terminal/none:1"
    terminal = Terminal(fetch_arguments(containerd, [there, missing], {"log_format": None}))
    terminals.append(terminal)

    text = terminal.read_to_the_end()

    assert 1 == terminal.process.wait(PATIENCE)
    last_state = text[text.rindex("last error") :]
    assert there in last_state
    assert "1 succeeded, 1 failed" in last_state
    assert "not_found" in last_state
    assert "level=" not in text


@pytest.mark.containerd
def test_a_stopped_table_leaves_the_terminal_in_order(
    containerd: Containerd, fake_registry: FakeRegistry, terminals: list[Terminal]
) -> None:
    name = fake_registry.add("terminal/stopped:1", make_image(seed="terminal stopped"))
    fake_registry.fail("layer", Fault.stall(), forever=True)
    terminal = Terminal(fetch_arguments(containerd, [name], {"log_format": None}))
    terminals.append(terminal)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))

    terminal.process.send_signal(signal.SIGINT)
    text = terminal.read_to_the_end()

    assert 130 == terminal.process.wait(PATIENCE)
    assert SHOW_CURSOR in text
    assert f"{name}: cancelled by SIGINT" in text.replace("\r\n", "")


@pytest.mark.containerd
def test_a_terminal_that_is_closed_does_not_end_the_run(
    containerd: Containerd, fake_registry: FakeRegistry, terminals: list[Terminal]
) -> None:
    name = fake_registry.add("terminal/closed:1", make_image(seed="terminal closed"))
    fake_registry.fail("layer", Fault.stall())
    terminal = Terminal(fetch_arguments(containerd, [name], {"log_format": None}))
    terminals.append(terminal)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))

    terminal.close()
    fake_registry.release()

    assert 0 == terminal.process.wait(PATIENCE)


@pytest.mark.containerd
def test_a_reader_of_the_log_who_leaves_does_not_end_the_run(
    containerd: Containerd, fake_registry: FakeRegistry
) -> None:
    name = fake_registry.add("terminal/left:1", make_image(seed="terminal left"))
    fake_registry.fail("layer", Fault.stall())
    ours, theirs = os.pipe()
    with subprocess.Popen(
        command(fetch_arguments(containerd, [name], {})), stderr=theirs, env=private_environment()
    ) as process:
        try:
            os.close(theirs)
            fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
            os.close(ours)
            fake_registry.release()

            assert 0 == process.wait(PATIENCE)
        finally:
            process.kill()


def closed(*streams: str) -> tuple[str, ...]:
    """What to start the program with so that it finds these streams closed: `<`, `>`, `2>`."""
    return ("/bin/sh", "-c", " ".join(['exec "$@"', *(f"{stream}&-" for stream in streams)]), "sh")


@pytest.mark.containerd
@pytest.mark.parametrize("streams", [["2>"], ["<", ">", "2>"]], ids=["no standard error", "no stream"])
def test_images_arrive_also_where_nobody_can_be_told(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, streams: list[str]
) -> None:
    name = fake_registry.add("closed/app:1", make_image(seed=f"closed {streams}"))

    ended = start_fetch(containerd, name, log_format=None, how={"prefix": closed(*streams)}).end()

    assert (0, "") == (ended.code, ended.stderr)
    assert 1 == len(fake_registry.requests.of(stage="layer"))


def test_no_standard_input_is_an_empty_list(start_fetch: StartFetch) -> None:
    ended = start_fetch(None, image_list_file="-", how={"prefix": closed("<")}).end()

    assert 2 == ended.code
    assert "nodeprefetch: standard input contains no images" in ended.stderr


@pytest.mark.containerd
def test_logfmt_is_written_where_no_terminal_is(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    name = fake_registry.add("logfmt/app:1", make_image(seed="logfmt"))

    ended = run_fetch(containerd, name, log_format=None)

    unlabelled, first, *_, last = ended.stderr.splitlines()
    assert 0 == ended.code
    assert "" == ended.stdout
    assert first.startswith("time=")
    assert 'level=INFO msg="node label and events disabled: NODE_NAME is not set"' in unlabelled
    assert 'level=INFO msg="run started"' in first
    assert 'msg="run finished"' in last
    assert "succeeded=1" in last


def test_ctrl_c_ends_explain_without_a_traceback(start: Start, short_path: Path) -> None:
    path = short_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(PATIENCE)
        program = start("explain", f"--cri-socket={path}", "app:1")
        with server.accept()[0]:
            program.send(signal.SIGINT)
            ended = program.end()

    assert (130, "", "") == (ended.code, ended.stdout, ended.stderr)
