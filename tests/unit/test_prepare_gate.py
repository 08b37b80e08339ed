"""What the flags about the gate mean, and what is wrong with them."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags, KeepFlags
from nodeprefetch.cli.gate import PreparedGate, prepare_gate
from nodeprefetch.cli.inputs import read_images
from nodeprefetch.cli.prepare import prepare
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.events import Event, GateOpened, ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.report.gate import GateState
from nodeprefetch.settings import PullPolicy
from nodeprefetch.values.image_ref import ImageRef

IMAGES = tuple(map(ImageRef.parse, ("nginx", "quay.io/a/b:1", "c:1")))
TAINT = ("warm:NoSchedule",)


def prepared(flags: FetchFlags, needs: bytes = b"", emit: Emitter | None = None) -> PreparedGate:
    found = Problems()
    gate = prepare_gate(flags, IMAGES, read=lambda _: needs, notices=Notices(), emit=emit or Emitter(), problems=found)
    found.raise_if_any()
    return gate


def problems(call: Callable[[], object]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        call()
    return list(caught.value.problems)


def test_it_waits_fifteen_minutes_from_the_first_run(tmp_path: Path) -> None:
    flags = FetchFlags(remove_taint=TAINT, gate_file=str(tmp_path / "first-run"))
    before = time.monotonic()
    first = prepared(flags)
    second = prepared(flags)

    assert before + 900 <= first.gives_up_at <= time.monotonic() + 900
    assert pytest.approx(first.gives_up_at, abs=1e-5) == second.gives_up_at


@pytest.mark.parametrize(
    ("flags", "timeout"),
    [({"gate_timeout": "90s"}, 90), ({"gate_timeout": "0"}, math.inf), ({"gate_timeout": "0s"}, math.inf)],
)
def test_the_time_is_a_flag_and_zero_is_for_ever(flags: dict[str, str], timeout: float) -> None:
    gate = prepared(FetchFlags(remove_taint=TAINT, **flags))

    assert pytest.approx(time.monotonic() + timeout, abs=300) == gate.gives_up_at
    assert timeout == gate.gate.wake_at


@pytest.mark.parametrize("state", [GateState.GAVE_UP, GateState.OPEN])
def test_one_that_is_open_has_no_time_left_to_wait_for(tmp_path: Path, state: GateState) -> None:
    flags = FetchFlags(remove_taint=TAINT, gate_file=str(tmp_path / "first-run"))
    gate = prepared(flags)
    gate.keeper._record.save(state)

    assert math.inf == prepared(flags).gives_up_at


def test_taints_are_named_once() -> None:
    gate = prepared(FetchFlags(remove_taint=("a", "b=1:NoExecute", "a")))

    assert ["a", "b=1:NoExecute"] == list(map(str, gate.taints))


def _opens_after(gate: PreparedGate, told: list[Event]) -> int:
    """Number of images after which it opens."""
    about = {"run_id": "r", "node": "n", "version": "1", "runtime": "c", "socket": "/s"}
    gate.keeper.emit(RunStarted(images=tuple(image.text for image in IMAGES), **about))
    for number, image in enumerate(IMAGES, start=1):
        ended = {"policy": PullPolicy.ALWAYS, "attempts": 1, "elapsed": 1}
        gate.keeper.emit(ImageFinished(image=image.text, outcome=Outcome.SUCCEEDED, **ended))
        if told:
            return number
    gate.keeper.emit(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=3, present=0, failed=0, elapsed=1))
    return len(IMAGES) if told else 0


def test_it_needs_all_images_or_those_of_a_list_in_any_spelling() -> None:
    found = []
    for flags, needs in (
        (FetchFlags(node_condition=True), b""),
        (FetchFlags(node_condition=True, gate_needs="needs.txt"), b"docker.io/library/nginx:latest  # first\n"),
        (FetchFlags(node_condition=True, gate_needs="needs.txt"), b"quay.io/a/b:1\nnginx\n"),
    ):
        told: list[Event] = []
        found.append(_opens_after(prepared(flags, needs, Emitter(told.append)), told))
        assert [GateOpened] == [type(event) for event in told]

    assert [3, 1, 2] == found


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        (b"", ["--gate-needs: needs.txt contains no images"]),
        (b"# nothing\n", ["--gate-needs: needs.txt contains no images"]),
        (
            b"d:1\nnginx\nA\n",
            ["--gate-needs: needs.txt:3: ", "--gate-needs: needs.txt:1: d:1 is not in the image lists"],
        ),
    ],
)
def test_what_is_wrong_with_the_list_of_needed_images(needs: bytes, found: list[str]) -> None:
    said = problems(lambda: prepared(FetchFlags(node_condition=True, gate_needs="needs.txt"), needs))

    assert found == [text[: len(start)] for text, start in zip(said, found, strict=True)]


def test_a_list_of_needed_images_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "needs.txt"
    flags = FetchFlags(node_condition=True, gate_needs=str(file))
    environment = Environment(node_name="n1", instance_name="web")

    assert [f"--gate-needs: {file}: cannot be read: No such file or directory"] == problems(
        lambda: prepare(flags, lambda: IMAGES, environment)
    )


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    flags = FetchFlags(
        remove_taint=("a b", "ok", "c:Never"), gate_timeout="soon", gate_needs="needs", node_label_prefix="X"
    )

    said = problems(lambda: prepare(flags, lambda: read_images([], []), Environment(node_name="n1")))

    assert [
        "no images given;",
        "--gate-timeout: invalid duration",
        "--remove-taint: 'a b': invalid key",
        "--remove-taint: 'c:Never': invalid effect",
        "--node-label-prefix: 'X'",
    ] == [
        text[: len(start)]
        for text, start in zip(
            said,
            [
                "no images given;",
                "--gate-timeout: invalid duration",
                "--remove-taint: 'a b': invalid key",
                "--remove-taint: 'c:Never': invalid effect",
                "--node-label-prefix: 'X'",
            ],
            strict=True,
        )
    ]


def test_a_list_of_needed_images_without_a_gate_is_a_mistake() -> None:
    flags = FetchFlags(gate_needs="needs.txt")

    assert ["--gate-needs requires --remove-taint or --node-condition"] == problems(
        lambda: prepare(flags, lambda: IMAGES, Environment())
    )


@pytest.mark.parametrize(
    ("flags", "gives_up"),
    [(FetchFlags, True), (KeepFlags, False)],
)
def test_allowed_failures_end_the_wait_where_nobody_tries_again(flags: type[FetchFlags], gives_up: bool) -> None:  # noqa: FBT001
    told: list[Event] = []
    gate = prepared(flags(node_condition=True, allow_failures=True), emit=Emitter(told.append))
    gate.keeper.emit(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=0, present=0, failed=3, elapsed=1))

    assert gives_up is bool(told)
