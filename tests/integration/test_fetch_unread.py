"""A standard error that nobody reads: limits, signals, label and results are what they are elsewhere."""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import termios
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodeprefetch.events import ImageFinished, RunEnd, RunFinished
from tests.integration.program import command, flags, log_lines, private_environment
from tests.integration.reported import ENVIRONMENT, INSTANCE, LABEL, LABELS, NODE
from tests.support.cri_server import HANG, FakeCriServer, Refusal
from tests.support.fake_aggregator import FakeAggregator
from tests.support.fake_kube import FakeKube
from tests.support.patience import PATIENCE

IMAGES = 200
"""Their lines are a hundred kilobytes and more, a pipe of these tests takes 4 KiB."""

PIPE = 4096
"""Bytes, the least that Linux has."""

NOT_FOUND = Refusal("NOT_FOUND", "failed to resolve reference: registry.test/app: not found")


@pytest.fixture
def cri(short_path: Path) -> Iterator[FakeCriServer]:
    with FakeCriServer(short_path / "cri.sock", otherwise=NOT_FOUND) as server:
        yield server


@pytest.fixture
def image_list(tmp_path: Path) -> Path:
    path = tmp_path / "images.txt"
    path.write_text("".join(f"registry.test/app-{number}:1\n" for number in range(IMAGES)))
    return path


def make_pipe(size: int = PIPE) -> tuple[int, int]:
    """The end to read, and the end to write."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
    return reading, writing


class Unread:
    """`fetch` with a pipe as standard error; it is read when asked."""

    def __init__(self, arguments: list[str], environment: dict[str, str] | None = None, *, size: int = PIPE) -> None:
        self._reading, writing = make_pipe(size)
        self.process = subprocess.Popen(command(arguments), stderr=writing, env=private_environment(environment))
        os.close(writing)

    def read(self) -> str:
        """All that is in it, to the program's end."""
        parts = []
        while part := os.read(self._reading, 1 << 16):
            parts.append(part)
        return b"".join(parts).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._reading)


def fetch(cri: FakeCriServer, *images: str, **options: object) -> list[str]:
    return [
        "fetch",
        *flags({"cri_socket": cri.socket, "log_format": "json", "max_parallel_pulls": 100, **options}),
        *images,
    ]


def wait_for_the_end(aggregator: FakeAggregator) -> None:
    """Block until the run is over."""
    aggregator.wait_until(lambda it: any(isinstance(event, RunFinished) for event in it.events))


def test_the_run_ends_with_label_and_results(cri: FakeCriServer, image_list: Path, tmp_path: Path) -> None:
    with FakeKube() as kube, FakeAggregator() as aggregator:
        kube.add_node(NODE, LABELS)
        arguments = fetch(
            cri,
            image_list_file=image_list,
            kubeconfig=kube.write_kubeconfig(tmp_path),
            metrics_endpoint=aggregator.endpoint,
            report_grace="50s",
        )
        with closing(Unread(arguments, ENVIRONMENT)) as unread:
            code = unread.process.wait(PATIENCE)
            text = unread.read()

        assert (1, IMAGES) == (code, len(cri.pulls))
        assert "failed" == kube.labels(NODE)[LABEL]
        assert IMAGES == sum(isinstance(event, ImageFinished) for event in aggregator.events)
        assert {INSTANCE} == {batch.instance for batch in aggregator.batches}
    assert len(text) <= PIPE


def test_the_overall_timeout_holds(cri: FakeCriServer, image_list: Path) -> None:
    """Pulls fail until the pipe is full many times over, and the last one hangs."""
    cri.plan(f"registry.test/app-{IMAGES - 1}:1", HANG)
    arguments = fetch(cri, image_list_file=image_list, overall_timeout="5s")
    with closing(Unread(arguments)) as unread:
        assert 1 == unread.process.wait(PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_ends_the_run_in_order(cri: FakeCriServer, image_list: Path, number: signal.Signals) -> None:
    cri.plan(f"registry.test/app-{IMAGES - 1}:1", HANG)
    with FakeAggregator() as aggregator:
        arguments = fetch(
            cri,
            image_list_file=image_list,
            metrics_endpoint=aggregator.endpoint,
            overall_timeout="10m",
            report_grace="50s",
        )
        with closing(Unread(arguments)) as unread:
            cri.wait_until(lambda pulls: len(pulls) == IMAGES)
            unread.process.send_signal(number)
            code = unread.process.wait(PATIENCE)

    (last,) = (event for event in aggregator.events if isinstance(event, RunFinished))
    assert (128 + number, RunEnd.STOPPED) == (code, last.end)


def test_what_was_not_read_is_said_in_one_line_and_the_summary_is_last_but_that(
    cri: FakeCriServer, tmp_path: Path
) -> None:
    """Each of 600 errors is 4,000 characters of JSON and in two lines: 4.8 MB, of which 4 MiB are kept."""
    images = [f"registry.test/app-{number}:1" for number in range(600)]
    for image in images:
        cri.plan(image, Refusal("NOT_FOUND", "not found " + "\\" * 1990))
    path = tmp_path / "images.txt"
    path.write_text("\n".join(images))
    with FakeAggregator() as aggregator:
        arguments = fetch(cri, image_list_file=path, metrics_endpoint=aggregator.endpoint, report_grace="50s")
        with closing(Unread(arguments)) as unread:
            wait_for_the_end(aggregator)
            lines = log_lines(unread.read())

    assert "run finished" == lines[-2]["msg"]
    dropped, _, words = lines[-1]["msg"].partition(" ")
    assert words.startswith("log lines dropped")
    assert 0 < int(dropped) < 2 * len(images)


def test_a_second_signal_ends_at_once(cri: FakeCriServer, image_list: Path) -> None:
    """The first one does not end it here: an aggregator that says nothing has its grace."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        arguments = fetch(cri, image_list_file=image_list, metrics_endpoint=endpoint, report_grace="10m")
        with closing(Unread(arguments)) as unread:
            cri.wait_until(lambda pulls: len(pulls) >= 1)
            unread.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                unread.process.wait(1)
            unread.process.send_signal(signal.SIGTERM)

            assert 143 == unread.process.wait(PATIENCE)


def test_a_terminal_that_was_stopped_holds_nothing_up(cri: FakeCriServer, image_list: Path) -> None:
    """As Ctrl-S does; what waits to be drawn is more than the terminal takes."""
    screen, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (1000, 200))
    arguments = fetch(cri, image_list_file=image_list, log_format=None)
    try:
        with subprocess.Popen(command(arguments), stderr=theirs, env=private_environment({"TERM": "xterm"})) as process:
            try:
                assert 1 == process.wait(PATIENCE)
            finally:
                process.kill()
    finally:
        os.close(theirs)
        os.close(screen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_explain_whose_output_nobody_reads(
    cri: FakeCriServer, image_list: Path, number: signal.Signals
) -> None:
    """It waits for its reader, as any filter does."""
    reading, writing = make_pipe()
    arguments = ["explain", f"--cri-socket={cri.socket}", f"--image-list-file={image_list}", "--output=json"]
    with subprocess.Popen(
        command(arguments), stdout=writing, stderr=subprocess.PIPE, env=private_environment()
    ) as process:
        try:
            os.close(writing)
            assert b"[" == os.read(reading, 1)
            process.send_signal(number)
            code = process.wait(PATIENCE)
            assert process.stderr
            said = process.stderr.read()
        finally:
            process.kill()
            os.close(reading)

    assert ({signal.SIGTERM: -15, signal.SIGINT: 130}[number], b"") == (code, said)


def test_a_list_of_bad_lines_is_said_in_part_and_ends_though_nobody_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("".join(f"app/BAD-{number}/{'x' * 100}\n" for number in range(1000)))
    with closing(Unread(["fetch", f"--image-list-file={path}"], size=1 << 16)) as unread:
        assert 2 == unread.process.wait(PATIENCE)
        lines = unread.read().splitlines()

    assert 51 == len(lines)
    assert "nodeprefetch: … and 950 more" == lines[-1]


def test_every_line_of_an_unread_log_is_whole(cri: FakeCriServer, image_list: Path) -> None:
    with closing(Unread(fetch(cri, image_list_file=image_list))) as unread:
        text = unread.read()
        assert 1 == unread.process.wait(PATIENCE)

    assert IMAGES == sum(json.loads(line)["msg"] == "image failed" for line in text.splitlines())
