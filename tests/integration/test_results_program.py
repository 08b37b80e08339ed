"""`aggregate` as a process: nobody reads what it writes, and its file is damaged under it."""

import http.client
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from nodeprefetch.aggregator.store.schema import FILE
from tests.integration.program import command, private_environment
from tests.support.batches import attempt, batch_of
from tests.support.patience import PATIENCE

NODE = "n" * 500
"""Each submission is told with it."""


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program, of whose output only the two ports are read, and its port."""
    ports = ["--bind=127.0.0.1", "--http-port=0", "--grpc-port=0"]
    with subprocess.Popen(
        command(["aggregate", *ports, *arguments]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=private_environment(),
    ) as process:
        assert process.stdout
        lines = b""
        while lines.count(b" on http") < 2 or not lines.endswith(b"\n"):
            lines += os.read(process.stdout.fileno(), 1)
        try:
            yield process, int(lines.partition(b" (queries and submissions)")[0].rpartition(b":")[2])
        finally:
            process.kill()


def submit(port: int, count: int) -> list[int]:
    """The statuses of so many submissions over one connection."""
    statuses = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        for number in range(count):
            body = msgspec.msgpack.encode(batch_of(attempt(attempt_id=f"id-{number}"), node=NODE))
            connection.request("POST", "/v1/events", body, {"content-type": "application/msgpack"})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    return statuses


def read(port: int, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def test_output_that_nobody_reads_stops_neither_submissions_nor_the_end() -> None:
    """500 lines of 540 bytes; a pipe takes 64 KiB."""
    with started("--debug") as (process, port):
        assert {200} == set(submit(port, 500))
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(PATIENCE)


def test_a_file_that_is_damaged_while_it_is_used_ends_the_process_and_a_new_one_is_begun(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with started(f"--data-dir={tmp_path}") as (process, port):
        submit(port, 100)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:  # what has it open reads it anew
            other.execute("CREATE TABLE other (x)")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * 4096 * 50)
        answer = read(port, "/metrics")
        out, errors = process.communicate(timeout=PATIENCE)

    assert (503, b'{"reason":"not_readable"') == (answer[0], answer[1][:24])
    assert (1, b"") == (process.returncode, errors)
    assert b" (kept as results.sqlite3.damaged; restart to create a new one)\n" in out
    with started(f"--data-dir={tmp_path}") as (_, port):
        assert (200, b"[]") == read(port, "/metrics")
        assert [200] == submit(port, 1)
