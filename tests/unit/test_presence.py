"""A check of `keep` that has nothing to do."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nodeprefetch.cli.presence import finds_everything
from nodeprefetch.keep.lists import Snapshot
from nodeprefetch.keep.orders import ORDER_VARIABLE, Expected, Order
from nodeprefetch.runtime.api import ImageRecord
from tests.support.cri_server import FakeCriServer

A, B = "docker.io/library/a:1", "docker.io/library/b:1"
ID = "sha256:" + "1" * 64


@pytest.fixture
def socket(short_path: Path) -> Iterator[Path]:
    """Of a runtime that holds both images, the second one pinned."""
    images = [ImageRecord(id=ID, repo_tags=(A,)), ImageRecord(id=ID, repo_tags=(B,), pinned=True)]
    with FakeCriServer(short_path / "cri.sock", images=images):
        yield short_path / "cri.sock"


def order(*names: str, socket: Path | str = "", pinned: Sequence[str] = ()) -> str:
    """As the supervisor gives it after a run that found these."""
    descriptor = os.memfd_create("expected", 0)
    if names:
        Expected(socket=str(socket), timeout=10, names=names, pinned=pinned).write(descriptor)
    return str(_order(expected=descriptor))


def _order(expected: int) -> Order:
    return Order(
        kind="check", is_settled=True, is_report=False, expected=expected, rejected=expected, snapshot=Snapshot.of([])
    )


@pytest.mark.parametrize(
    ("names", "pinned", "found"),
    [
        ([A, B], [], True),
        ([A, B], [B], True),
        ([A, B], [A], False),
        ([A, "docker.io/library/x:1"], [], False),
        ([A, "docker.io/library/x:1"], ["docker.io/library/x:1"], False),
    ],
)
def test_it_finds_what_is_on_the_node(socket: Path, names: list[str], pinned: list[str], *, found: bool) -> None:
    assert found is finds_everything(order(*names, socket=socket, pinned=pinned))


def test_without_a_runtime_a_whole_run_follows(short_path: Path) -> None:
    assert not finds_everything(order(A, socket=short_path / "none.sock"))


def test_before_any_good_run_a_whole_run_follows() -> None:
    assert not finds_everything(order())


def test_it_loads_neither_the_command_line_nor_what_pulls(socket: Path) -> None:
    given = order(A, socket=socket)
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nodeprefetch", "keep", "a:1"],
        env={ORDER_VARIABLE: given},
        pass_fds=[Order.parse(given).expected],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )

    assert " nodeprefetch.cli.presence" in ended.stderr
    assert not {"cyclopts", "nodeprefetch.pull.run", "nodeprefetch.credentials.chain"} & {
        line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()
    }
