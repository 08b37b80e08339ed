"""The supervisor, with real processes, signals and files. A small program of these tests stands for `fetch`."""

import errno
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeprefetch.cli.ready_port import bind_ready_port
from nodeprefetch.keep.lists import Snapshot
from nodeprefetch.keep.orders import BROKEN_LIST, SUPERVISE, Expected, Order, Plan, Rejection
from tests.support.patience import PATIENCE, eventually
from tests.support.ports import free_port

RUN = """
import os, signal, sys, time
directory = sys.argv[1]
def say(word):
    with open(f"{directory}/runs", "a") as runs:
        runs.write(f"{word} {os.environ['NODEPREFETCH_KEEP_RUN']} {os.getpid()}\\n")
def stop(number, frame):
    say("stopped")
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGHUP, stop)
*_, rejected, snapshot = os.environ["NODEPREFETCH_KEEP_RUN"].split()
fd, _, sizes = snapshot.partition(":")
text = os.pread(int(fd), int(sizes), 0).decode()
with open(f"{directory}/given", "a") as given:
    given.write(text)
why = os.pread(int(rejected), 1000, 0).decode().rpartition("\\0")[2]
if not os.environ["NODEPREFETCH_KEEP_RUN"].startswith("check settled news "):
    with open(f"{directory}/reported", "a") as reported:
        reported.write(f"{text.strip()}: {why}\\n")
say("began")
if "deaf" in text:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("deaf")
if "orphan" in text and os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.1)
    os._exit(0)
while "slow" in text and not os.path.exists(f"{directory}/release"):
    time.sleep(0.01)
while os.path.exists(f"{directory}/hold"):
    time.sleep(0.01)
if "crash" in text:
    os.kill(os.getpid(), signal.SIGKILL)
if "broken" in text:
    os.ftruncate(int(rejected), 0)
    os.pwrite(int(rejected), b"123.0\\0" + text.strip().encode(), 0)
if os.path.exists(f"{directory}/code"):
    sys.exit(int(open(f"{directory}/code").read()))
is_first = open(f"{directory}/runs").read().count("began") == 1
if "unheard" in text and is_first:
    sys.exit(69)
if "undelivered" in text and is_first:
    sys.exit(71)
sys.exit(65 if "broken" in text else 67 if "tainted" in text else 1 if "fail" in text else 0)
"""


class Keep:
    """A supervisor, and what its runs have said."""

    def __init__(
        self, directory: Path, content: str, prefix: tuple[str, ...], ready_address: str, **intervals: float
    ) -> None:
        self.list = directory / "images.txt"
        self.list.write_text(content)
        self._directory = directory
        snapshot = Snapshot.of([content.encode()])
        self._ready_address = ready_address
        port = bind_ready_port(ready_address).detach() if ready_address else -1
        inherited = [each for each in (snapshot.descriptor, port) if each >= 0]
        plan = Plan(
            check_every=intervals.get("check_every", 3600.0),
            refresh_every=float("inf"),
            report_every=intervals.get("report_every", math.inf),
            place=0.5,
            gate_at=float("inf"),
            log_format="logfmt",
            port=port,
            paths=[str(self.list)],
            snapshot=snapshot,
            command=["-ISc", RUN, str(directory)],
        )
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "nodeprefetch", SUPERVISE, *plan.to_arguments()],
                pass_fds=inherited,
                stderr=log,
                start_new_session=True,
            )
        for each in inherited:
            os.close(each)

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """What happened in runs, the kind of each, and its process."""
        file = self._directory / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(words[0], words[1], int(words[-1])) for line in lines if (words := line.split())]

    @property
    def orders(self) -> list[list[str]]:
        """The words of each line that runs have said."""
        return [line.split() for line in (self._directory / "runs").read_text().splitlines()]

    @property
    def given(self) -> list[str]:
        """The list of each run."""
        return (self._directory / "given").read_text().splitlines()

    @property
    def reported(self) -> list[str]:
        """The list of each run that is not silent, and why it is not the newest."""
        return (self._directory / "reported").read_text().splitlines()

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    def edit(self, content: str) -> None:
        temporary = self.list.with_suffix(".new")
        temporary.write_text(content)
        temporary.rename(self.list)

    @property
    def is_ready(self) -> bool:
        """Whether the port accepts a connection. Otherwise it refuses it at once, or resets it while it is closed."""
        host, _, port = self._ready_address.partition(":")
        with socket.socket() as connection:
            connection.settimeout(PATIENCE)
            result = connection.connect_ex((host, int(port)))
        assert result in {0, errno.ECONNREFUSED, errno.ECONNRESET}
        return not result

    def end_runs_with(self, code: int) -> None:
        """From now on, whatever the list says."""
        temporary = self._directory / "code.new"
        temporary.write_text(str(code))
        temporary.rename(self._directory / "code")

    @contextmanager
    def held_runs(self) -> Iterator[None]:
        """Inside, runs that begin do not end."""
        (self._directory / "hold").touch()
        yield
        (self._directory / "hold").unlink()

    def count(self, word: str) -> int:
        """How often runs have said so."""
        return [said for said, _, _ in self.runs].count(word)

    def release(self) -> None:
        """Let slow runs end."""
        (self._directory / "release").touch()

    def wait_until(self, is_so: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"{self.runs}\n{self.log}"
            assert self.process.poll() is None, self.log
            time.sleep(0.01)

    def wait_for_run(self, word: str, number: int = 1) -> int:
        """Wait until runs have said so that many times. Returns the last one's process."""

        def found() -> list[int]:
            return [pid for said, _, pid in self.runs if said == word]

        self.wait_until(lambda: len(found()) >= number)
        return found()[number - 1]

    def wait_until_reported(self, times: int) -> None:
        self.wait_for_run("began")
        self.wait_until(lambda: len(self.reported) >= times)

    def wait_for_log(self, text: str, times: int = 1) -> None:
        self.wait_until(lambda: self.log.count(text) >= times)


Start = Callable[..., Keep]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Keep] = []

    def start_it(
        content: str = "a:1\n", prefix: tuple[str, ...] = (), ready_address: str = "", **intervals: float
    ) -> Keep:
        started.append(Keep(tmp_path, content, prefix, ready_address, **intervals))
        return started[-1]

    yield start_it
    for keep in started:
        keep.release()
        keep.process.kill()
        keep.process.wait()


def test_it_begins_with_a_run_that_is_given_the_list(start: Start) -> None:
    keep = start()

    keep.wait_for_run("began")

    assert [("began", "refresh")] == [run[:2] for run in keep.runs]
    assert ["a:1"] == keep.given


def test_checks_follow(start: Start) -> None:
    keep = start(check_every=0.05)

    keep.wait_for_run("began", 4)

    assert ["refresh", "check", "check", "check"] == [kind for _, kind, _ in keep.runs][:4]


def test_an_edit_starts_a_run_with_the_new_list(start: Start) -> None:
    keep = start(check_every=0.2)
    keep.wait_for_run("began")

    keep.edit("b:1\n")

    keep.wait_until(lambda: "b:1" in keep.given)
    assert ["refresh"] == [run[1] for run, given in zip(keep.runs, keep.given, strict=False) if given == "b:1"][:1]


def test_the_first_run_after_an_edit_says_everything(start: Start) -> None:
    """All images of the new list may be there, but nobody has said that of this list."""
    keep = start(check_every=0.05)
    keep.wait_for_run("began", 3)

    keep.edit("b:1\n")
    keep.wait_until(lambda: keep.given.count("b:1") > 1)

    began = [run[2] for run in keep.orders if run[0] == "began"]
    said = [how for how, given in zip(began, keep.given, strict=False) if given == "b:1"]
    assert ("settled", "unsettled", "settled") == (began[2], *said[:2])


def test_an_edit_during_a_run_ends_that_in_order_and_starts_the_next(start: Start) -> None:
    keep = start("slow\n", check_every=0.2)
    first = keep.wait_for_run("began")

    keep.edit("b:1\n")

    keep.wait_until(lambda: "b:1" in keep.given)
    assert [("began", first), ("stopped", first)] == [(said, pid) for said, _, pid in keep.runs[:2]]


def test_a_broken_list_leaves_the_last_good_one_in_force_until_it_is_mended(start: Start) -> None:
    keep = start(check_every=0.2)
    keep.wait_for_run("began")

    keep.edit("broken\n")
    keep.wait_for_log("image list is invalid")
    keep.wait_until(lambda: keep.given.count("a:1") > 3)
    keep.edit("b:1\n")
    keep.wait_until(lambda: "b:1" in keep.given)

    assert 1 == keep.given.count("broken")
    assert 1 == keep.log.count("image list is invalid")


def test_a_list_that_is_gone_leaves_the_last_good_one_in_force(start: Start) -> None:
    keep = start(check_every=0.1)
    keep.wait_for_run("began")

    keep.list.unlink()
    keep.wait_for_log("cannot read an image list")
    before = len(keep.given)
    keep.wait_until(lambda: len(keep.given) > before + 2)
    keep.edit("a:1\n")
    keep.wait_for_log("image lists can be read again")

    assert {"a:1"} == set(keep.given)
    assert 1 == keep.log.count("cannot read an image list")


def test_runs_with_the_last_good_list_learn_why_it_is_the_last_good_one(start: Start) -> None:
    """Each edit is one run more; that of a broken list is followed by a report."""
    keep = start(check_every=0.2, report_every=3600.0)

    for number, content in ((1, "broken\n"), (3, "broken again\n"), (5, "b:1\n")):
        keep.wait_until_reported(number)
        keep.edit(content)
    keep.wait_until_reported(6)

    assert ["a:1: ", "broken: ", "a:1: broken", "broken again: ", "a:1: broken again", "b:1: "] == keep.reported


def test_what_did_not_reach_the_aggregator_is_reported_again(start: Start) -> None:
    keep = start("undelivered\n", check_every=0.2, report_every=3600.0)

    keep.wait_until_reported(2)
    before = len(keep.runs)
    keep.wait_until(lambda: len(keep.runs) > before + 2)

    assert ["refresh", "check"] == [kind for _, kind, _ in keep.runs][:2]
    assert 2 == len(keep.reported)


def test_a_list_that_is_gone_or_back_is_reported_at_once(start: Start) -> None:
    keep = start(check_every=0.2, report_every=3600.0)
    keep.wait_until_reported(1)

    keep.list.unlink()
    keep.wait_until_reported(2)
    keep.edit("a:1\n")
    keep.wait_until_reported(3)

    assert ["a:1: ", f"a:1: {keep.list}: No such file or directory", "a:1: "] == keep.reported


def test_a_broken_list_that_was_gone_is_judged_again_when_it_is_back(start: Start) -> None:
    keep = start(check_every=0.2, report_every=3600.0)
    keep.wait_until_reported(1)
    keep.edit("broken\n")
    keep.wait_until_reported(3)

    keep.list.unlink()
    keep.wait_until_reported(4)
    keep.edit("broken\n")
    keep.wait_until_reported(6)

    gone = f"a:1: {keep.list}: No such file or directory"
    assert ["broken: ", "a:1: broken", gone, "broken: ", "a:1: broken"] == keep.reported[1:]


def test_without_reports_a_broken_list_starts_no_run_more(start: Start) -> None:
    keep = start(check_every=0.2)
    keep.wait_until_reported(1)

    keep.edit("broken\n")
    keep.wait_for_log("image list is invalid")
    keep.edit("b:1\n")
    keep.wait_until_reported(3)

    assert ["a:1: ", "broken: ", "b:1: "] == keep.reported


def test_sighup_starts_a_run_now(start: Start) -> None:
    keep = start()
    keep.wait_for_run("began")

    keep.process.send_signal(signal.SIGHUP)

    keep.wait_for_run("began", 2)
    assert ["refresh", "refresh"] == [kind for _, kind, _ in keep.runs]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("fail\n", "exit code 1"),
        ("crash\n", "killed by signal 9"),
        ("tainted\n", "startup taints of the node could not be removed, or its condition could not be set"),
    ],
)
def test_a_failed_run_is_one_failed_run(start: Start, content: str, error: str) -> None:
    keep = start(content, check_every=0.05)

    keep.wait_for_run("began", 3)

    assert {"refresh"} == {kind for _, kind, _ in keep.runs}
    assert f'msg="run failed, retrying" delay=0s error="{error}"' in keep.log


def test_a_run_of_which_nobody_heard_is_followed_by_a_check_that_says_everything(start: Start) -> None:
    keep = start("unheard\n", check_every=0.2)

    keep.wait_for_run("began", 3)

    assert ["refresh unsettled", "check unsettled", "check settled"] == [" ".join(run[1:3]) for run in keep.orders[:3]]
    assert 1 == keep.log.count('msg="node not updated, retrying" delay=0s')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_in_order_and_then_keep(start: Start, number: signal.Signals) -> None:
    keep = start("slow\n")
    keep.wait_for_run("began")

    keep.process.send_signal(number)

    assert 128 + number == keep.process.wait(PATIENCE)
    assert ["began", "stopped"] == [said for said, _, _ in keep.runs]


def test_a_signal_between_runs_ends_it_at_once(start: Start) -> None:
    keep = start()
    keep.wait_for_run("began")

    keep.process.terminate()

    assert 128 + signal.SIGTERM == keep.process.wait(PATIENCE)


def test_a_second_signal_ends_both_at_once(start: Start) -> None:
    keep = start("slow deaf\n")
    pid = keep.wait_for_run("deaf")

    keep.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        keep.process.wait(0.3)
    keep.process.send_signal(signal.SIGINT)

    assert 128 + signal.SIGINT == keep.process.wait(PATIENCE)
    assert eventually(lambda: has_ended(pid))


@pytest.fixture
def address() -> str:
    """Where nobody else listens."""
    return f"127.0.0.1:{free_port()}"


def test_the_port_opens_after_the_first_run_and_again_after_that_of_a_new_list(start: Start, address: str) -> None:
    keep = start("slow first\n", check_every=0.2, ready_address=address)
    keep.wait_for_run("began")
    assert not keep.is_ready

    keep.release()
    keep.wait_until(lambda: keep.is_ready)
    with keep.held_runs():
        keep.edit("second\n")
        keep.wait_until(lambda: "second" in keep.given)
        assert not keep.is_ready

    keep.wait_until(lambda: keep.is_ready)
    assert (2, 1) == (keep.log.count("msg=ready"), keep.log.count('msg="not ready"'))


def test_the_port_stays_open_while_a_warm_node_is_checked(start: Start, address: str) -> None:
    keep = start(check_every=0.05, ready_address=address)
    keep.wait_until(lambda: keep.is_ready)

    with keep.held_runs():
        keep.wait_for_run("began", keep.count("began") + 1)
        assert keep.is_ready

    assert 1 == keep.log.count("ready")


@pytest.mark.parametrize(
    ("code", "is_ready"), [(0, True), (66, True), (67, True), (1, False), (3, False), (139, False)]
)
def test_the_port_follows_what_runs_find(start: Start, address: str, code: int, *, is_ready: bool) -> None:
    keep = start(check_every=0.05, ready_address=address)
    keep.wait_until(lambda: keep.is_ready)

    keep.end_runs_with(code)
    keep.wait_for_run("began", keep.count("began") + 4)
    assert keep.is_ready == is_ready
    keep.end_runs_with(0)

    keep.wait_until(lambda: keep.is_ready)


def test_the_port_stays_closed_if_the_first_run_of_a_new_list_could_not_look(start: Start, address: str) -> None:
    keep = start(check_every=0.05, ready_address=address)
    keep.wait_until(lambda: keep.is_ready)
    with keep.held_runs():
        keep.end_runs_with(3)
        keep.edit("b:1\n")
        keep.wait_until(lambda: "b:1" in keep.given)

    keep.wait_for_log("exit code 3", 2)

    assert 1 == keep.log.count("msg=ready")


def test_the_port_is_closed_while_a_list_is_invalid_or_gone(start: Start, address: str) -> None:
    keep = start(check_every=0.05, ready_address=address)
    keep.wait_until(lambda: keep.is_ready)

    keep.edit("broken\n")
    keep.wait_for_log("image list is invalid")
    keep.wait_for_run("began", keep.count("began") + 2)
    assert not keep.is_ready
    keep.edit("b:1\n")
    keep.wait_until(lambda: keep.is_ready)
    keep.list.unlink()
    keep.wait_until(lambda: not keep.is_ready)
    keep.edit("b:1\n")

    keep.wait_until(lambda: keep.is_ready)


def test_the_port_accepts_any_number_of_probes_over_time(start: Start, address: str) -> None:
    """More than may come between two looks."""
    keep = start(check_every=0.05, ready_address=address)
    keep.wait_until(lambda: keep.is_ready)

    for _ in range(5):
        assert all(keep.is_ready for _ in range(100))
        keep.wait_for_run("began", keep.count("began") + 2)


def test_the_port_is_closed_as_soon_as_keep_is_to_end(start: Start, address: str) -> None:
    """And not only after the run, which may take its time."""
    keep = start("deaf\n", check_every=0.05, ready_address=address)
    keep.wait_until(lambda: keep.is_ready)
    with keep.held_runs():
        keep.wait_for_run("deaf", keep.count("deaf") + 1)
        assert keep.is_ready

        keep.process.terminate()

        assert eventually(lambda: not keep.is_ready)
        assert keep.process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_as_pid_1_it_reaps_orphans_and_ends_too(start: Start) -> None:
    keep = start("orphan\n", ("unshare", "--pid", "--fork", "--kill-child"), check_every=0.2)
    keep.wait_for_run("began", 3)
    (pid,) = children(keep.process.pid)

    keep.wait_until(lambda: not children(pid))  # a zombie would be one
    os.kill(pid, signal.SIGTERM)

    assert 128 + signal.SIGTERM == keep.process.wait(PATIENCE)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_as_pid_1_a_signal_ends_it_also_before_it_has_begun() -> None:
    """It waits for its list."""
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "nodeprefetch", "keep"]
    with subprocess.Popen([*command, "--image-list-file", "-"], stdin=subprocess.PIPE) as process:
        assert eventually(lambda: children(process.pid))
        (pid,) = children(process.pid)
        assert eventually(lambda: handles(pid, signal.SIGTERM))
        os.kill(pid, signal.SIGTERM)

        assert 128 + signal.SIGTERM == process.wait(PATIENCE)


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or only a zombie that nobody reaps."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


def children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def test_a_plan_and_an_order_can_be_read_again() -> None:
    snapshot = Snapshot(5, [3, 0])
    plan = Plan(
        check_every=300.0,
        refresh_every=float("inf"),
        report_every=3600.0,
        place=1 / 3,
        gate_at=1234.5,
        log_format="json",
        port=6,
        paths=["/x y", ""],
        snapshot=snapshot,
        command=["-m", "nodeprefetch", "keep", "a:1"],
    )
    order = Order(kind="check", is_settled=True, is_report=False, expected=7, rejected=8, snapshot=snapshot)

    assert plan.to_arguments() == Plan.parse(plan.to_arguments()).to_arguments()
    assert (1 / 3, 6, ("/x y", ""), plan.command) == (
        (again := Plan.parse(plan.to_arguments())).place,
        again.port,
        again.paths,
        again.command,
    )
    assert str(order) == str(Order.parse(str(order)))
    assert "65" == str(BROKEN_LIST)


def test_why_lists_are_rejected_can_be_read_again() -> None:
    descriptor = os.memfd_create("rejected", 0)
    assert Rejection.read(descriptor) is None
    for problems in (["a:1: no " * 99], ["x", "y"]):
        Rejection(since=1.5, problems=problems).write(descriptor)
    found = Rejection.read(descriptor)
    os.close(descriptor)

    assert found
    assert (1.5, ("x", "y")) == (found.since, found.problems)


def test_what_a_run_found_can_be_read_again() -> None:
    descriptor = os.memfd_create("expected", 0)
    assert Expected.read(descriptor) is None
    for names in (["docker.io/library/a:1"] * 3, ["b:1", "c:1"]):
        Expected(socket="", timeout=60.0, names=names, pinned=names[1:]).write(descriptor)
    found = Expected.read(descriptor)
    os.close(descriptor)

    assert found
    assert ("", 60.0, ("b:1", "c:1"), ("c:1",)) == (found.socket, found.timeout, found.names, found.pinned)
