"""Attacks on the aggregator's database: full disks, kills, damage, foreign directories, deleted rows."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import fill, get, packed, post, results
from tests.support.aggregator_program import AggregatorProgram
from tests.support.spawn import DaemonError
from tests.support.tmpfs import mounted_tmpfs

OK, NOT_STORED = 200, 503
WRONG_USAGE = 2


@attack("disk", "the disk is full, then free again; nobody submits meanwhile")
def full_disk(run: Run) -> None:
    """It becomes unready, recovers by itself, and logs both."""
    with (
        mounted_tmpfs(run.directory / "full", size=8 << 20) as disk,
        run.aggregator(f"--data-dir={disk}", keeps=False) as program,
    ):
        fill(program, 1000)
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 16))
            except OSError:
                pass
        answers = [post(program, packed(results(5000, prefix=f"x{turn}", text="x" * 500)))[0] for turn in range(3)]
        run.count = len(answers)
        run.expect(NOT_STORED in answers, f"on the full disk got {answers}")
        run.expect(get(program, "/readyz")[0] == NOT_STORED, "ready with a full disk")
        (disk / "ballast").unlink()
        ends = time.monotonic() + 15
        while get(program, "/readyz")[0] != OK and time.monotonic() < ends:
            time.sleep(0.5)
        run.expect(get(program, "/readyz")[0] == OK, "not ready 15 s after the disk had space again")
        said = [line for line in program.log_text.splitlines() if " on http" not in line]
        run.expect(2 <= len(said) <= 6, f"the log reports it in {len(said)} lines")


@attack("disk", "kill -9 under 4 writers that send everything twice")
def killed(run: Run) -> None:
    """Every acknowledged result is stored once."""
    directory = Path(tempfile.mkdtemp(dir=run.directory))
    program = AggregatorProgram(directory)
    acknowledged: set[str] = set()
    for turn in range(6):
        program.start()
        stopping = threading.Event()

        def write(writer: int, turn: int = turn, stopping: threading.Event = stopping) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                events = results(50, prefix=f"{turn}-{writer}-{number}")
                about = {"node": f"n{writer}", "run_id": f"r{turn}-{writer}"}
                if {post(program, packed(events, **about), patience=5)[0] for _ in range(2)} & {OK}:
                    acknowledged.update(f"{turn}-{writer}-{number}-{each}" for each in range(50))

        writers = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(4)]
        for each in writers:
            each.start()
        time.sleep(random.uniform(0.5, 2))
        stopping.set()
        program.kill()
        for each in writers:
            each.join(10)
        run.count += 1
    with sqlite3.connect(program.data_dir / "results.sqlite3") as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        kept = [attempt_id for (attempt_id,) in database.execute("SELECT attempt_id FROM attempt")]
    run.expect(verdict == "ok", f"integrity_check: {verdict}")
    run.expect(len(acknowledged) > 100, "nothing was acknowledged")
    missing = acknowledged - set(kept)
    run.expect(not missing, f"{len(missing)} of {len(acknowledged)} acknowledged results are missing")
    run.expect(len(kept) == len(set(kept)), "duplicate results")


def _answers_or_says_no(run: Run, what: str, data_dir: Path) -> None:
    """Expect an aggregator to reject it at startup with a message, or to serve without errors while ready."""
    directory = Path(tempfile.mkdtemp(dir=run.directory))
    program = AggregatorProgram(directory, f"--data-dir={data_dir}", keeps=False)
    run.count += 1
    try:
        program.start()
    except DaemonError as error:
        run.expect("Traceback" not in str(error), f"{what}: a traceback at startup")
        run.expect("did not get ready" not in str(error), f"{what}: startup hangs")
        return
    try:
        post(program, packed(results(10, prefix="later")), patience=10)
        time.sleep(1.5)
        for path in ("/metrics", "/v1/status"):
            status, _ = get(program, path, patience=10)
            ready, _ = get(program, "/readyz", patience=10)
            run.expect(0 < status < 500 or ready == NOT_STORED, f"{what}: {path} got {status}, /readyz {ready}")
        run.expect(get(program, "/healthz", patience=10)[0] == OK, f"{what}: it exited or hangs")
        run.expect("Traceback" not in program.log_text, f"{what}: a traceback in the log")
    finally:
        program.stop()


@attack("disk", "databases with damaged pages, truncated ones, and a truncated WAL")
def damaged(run: Run) -> None:
    """Rejected at startup or served, without errors while ready."""
    source = Path(tempfile.mkdtemp(dir=run.directory))
    with AggregatorProgram(source) as program:
        fill(program, 3000)
    original = (program.data_dir / "results.sqlite3").read_bytes()
    chance = random.Random(4)
    for turn in range(15):
        data = bytearray(original)
        for _ in range(1 + turn):
            start = chance.randrange(100, len(data) - 600)
            data[start : start + 500] = chance.randbytes(500)
        if turn % 5 == 4:
            del data[len(data) // 2 :]
        target = Path(tempfile.mkdtemp(dir=run.directory))
        (target / "results.sqlite3").write_bytes(data)
        _answers_or_says_no(run, f"damage {turn}", target)


@attack("disk", "data directories that are files, FIFOs, links; foreign databases; no write permission; two at once")
def odd_directories(run: Run) -> None:
    """A message, no traceback, no hang."""
    base = run.directory
    (base / "file").touch()
    os.mkfifo(base / "fifo")
    (base / "loop").symlink_to(base / "loop")
    for name, content in (("garbage", os.urandom(5000)), ("text", b"hello"), ("empty", b"")):
        (base / name).mkdir()
        (base / name / "results.sqlite3").write_bytes(content)
    (base / "in-fifo").mkdir()
    os.mkfifo(base / "in-fifo" / "results.sqlite3")
    (base / "in-directory" / "results.sqlite3").mkdir(parents=True)
    (base / "foreign").mkdir()
    with sqlite3.connect(base / "foreign" / "results.sqlite3") as database:
        database.execute("CREATE TABLE attempt (x)")
    for name in ("file", "fifo", "loop", "garbage", "text", "empty", "in-fifo", "in-directory", "foreign"):
        _answers_or_says_no(run, name, base / name)
    _answers_or_says_no(run, "/proc", Path("/proc/self"))
    with AggregatorProgram(Path(tempfile.mkdtemp(dir=base))) as first:
        command = [
            sys.executable,
            "-m",
            "nodeprefetch",
            "aggregate",
            f"--data-dir={first.data_dir}",
            "--http-port=0",
            "--grpc-port=0",
            "--bind=127.0.0.1",
        ]
        ended = subprocess.run(command, capture_output=True, timeout=30, check=False)
        run.expect(ended.returncode == WRONG_USAGE, f"a second aggregator exited with {ended.returncode}")


@attack("disk", "60,000 results beyond --max-results, then all deleted")
def forgotten(run: Run) -> None:
    """The number of results stays within the limit, and the file shrinks."""
    with run.aggregator("--max-results=5000", "--retention=20s") as program:
        fill(program, 60_000)
        run.count = 60_000
        file = program.data_dir / "results.sqlite3"
        time.sleep(5)
        kept = len(program.results())
        run.expect(kept <= 5000, f"{kept} results are kept")
        largest = file.stat().st_size
        ends = time.monotonic() + 45
        while file.stat().st_size > largest / 2 and time.monotonic() < ends:
            time.sleep(1)
        run.expect(
            file.stat().st_size <= largest / 2, f"the file had {largest >> 20} MiB and has {file.stat().st_size >> 20}"
        )


@attack("disk", "SIGTERM and SIGINT at random moments under load")
def stopped(run: Run) -> None:
    """It shuts down cleanly and quickly."""
    for turn in range(6):
        program = AggregatorProgram(Path(tempfile.mkdtemp(dir=run.directory)))
        program.start()
        threading.Thread(target=_load, args=(program,), daemon=True).start()
        time.sleep(random.uniform(0, 1))
        began = time.monotonic()
        os.kill(program.pid, (signal.SIGTERM, signal.SIGINT)[turn % 2])
        while program.is_running and time.monotonic() < began + 20:
            time.sleep(0.05)
        run.expect(time.monotonic() - began < 9, "it did not exit within 9 s")
        run.expect("Traceback" not in program.log_text, "a traceback in the log")
        program.kill()
        run.count += 1


def _load(program: AggregatorProgram) -> None:
    for number in range(50):
        post(program, packed(results(500, prefix=f"{number}")), patience=5)
