"""What survives of a gate when `fetch` starts again on the same node."""

import os
from pathlib import Path

import pytest

from nodeprefetch.report.gate import GateState
from nodeprefetch.report.gate_record import GateRecord, boot_id


class Node:
    """A node with its clock, and where the pod keeps its file."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self.now = 1000.0
        self.boot = "b1"
        self.complaints: list[str] = []

    def record(self) -> GateRecord:
        """What a process finds that starts now."""
        return GateRecord(self.path, warn=self.complaints.append, clock=lambda: self.now, boot=lambda: self.boot)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "gate")


def test_it_counts_from_the_first_run(node: Node) -> None:
    first = node.record()
    node.now += 70.5
    second = node.record()
    node.now += 0.25

    assert (70.75, 70.75, []) == (first.age, second.age, node.complaints)


def test_it_remembers_what_has_become_of_the_gate(node: Node) -> None:
    record = node.record()
    found = [node.record().state]
    for state in (GateState.GAVE_UP, GateState.OPEN):
        record.save(state)
        found.append(node.record().state)

    assert [GateState.CLOSED, GateState.GAVE_UP, GateState.OPEN] == found


def test_nothing_is_written_when_nothing_changes(node: Node) -> None:
    record = node.record()
    record.save(GateState.OPEN)
    Path(node.path).unlink()

    record.save(GateState.OPEN)
    node.record()
    assert Path(node.path).exists()


@pytest.mark.parametrize("now", [12.0, 5000.0])
def test_after_a_reboot_it_counts_again(node: Node, now: float) -> None:
    node.record().save(GateState.GAVE_UP)
    node.boot, node.now = "b2", now
    first = node.record()
    node.now += 30
    second = node.record()

    assert (30, 30, GateState.CLOSED) == (first.age, second.age, second.state)


def test_a_first_run_that_lies_ahead_was_on_another_clock(node: Node) -> None:
    node.record().save(GateState.GAVE_UP)
    node.now -= 500
    first = node.record()
    node.now += 30

    assert (30, 30, GateState.CLOSED) == (first.age, node.record().age, node.record().state)


def test_without_a_file_it_counts_from_the_process() -> None:
    node = Node("")
    first = node.record()
    first.save(GateState.OPEN)
    node.now += 5

    assert (5, 0, GateState.CLOSED) == (first.age, node.record().age, node.record().state)


@pytest.mark.parametrize("content", [b"", b"\0" * 90])
def test_a_file_that_a_crash_has_emptied_is_a_new_one(node: Node, content: bytes) -> None:
    Path(node.path).write_bytes(content)
    node.record()
    node.now += 5

    assert (5, []) == (node.record().age, node.complaints)


@pytest.mark.parametrize("content", [b"nginx:1.27\n", b"gate b1 x closed\n", b"gate b1 1.0 ajar\n", b"\xff" * 300])
def test_a_file_of_somebody_else_is_left_alone(node: Node, content: bytes) -> None:
    Path(node.path).write_bytes(content)
    record = node.record()
    record.save(GateState.OPEN)
    node.now += 5

    assert (5, content) == (record.age, Path(node.path).read_bytes())
    (complaint,) = node.complaints
    assert complaint == (
        f"cannot read gate file {node.path}: not written by nodeprefetch;"
        " --gate-timeout counts from the start of this process"
    )


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _nowhere(path: Path) -> None:
    path.symlink_to("/nonexistent/directory/file")


@pytest.mark.parametrize("make", [_directory, _fifo, _nowhere])
def test_what_cannot_be_such_a_file_is_reported_and_the_count_goes_on(node: Node, make) -> None:
    make(Path(node.path))
    record = node.record()
    record.save(GateState.GAVE_UP)
    node.now += 5

    assert (5, 1) == (record.age, len(node.complaints))
    assert node.complaints[0].startswith(f"cannot read gate file {node.path}: ")


def test_a_full_disk_is_reported_and_the_count_goes_on(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    record = node.record()
    node.now += 5

    assert 5 == record.age
    assert [True] == ["cannot write gate file" in each and "No space left" in each for each in node.complaints]


def test_the_file_may_be_an_open_one_in_memory() -> None:
    """As `keep` passes to its runs."""
    file = os.memfd_create("gate", 0)
    node = Node(f"/proc/self/fd/{file}")
    node.record().save(GateState.OPEN)
    node.now += 5
    record = node.record()
    os.close(file)

    assert (5, GateState.OPEN, []) == (record.age, record.state, node.complaints)


def test_the_kernel_identifies_the_boot() -> None:
    assert (36, boot_id()) == (len(boot_id()), boot_id())
