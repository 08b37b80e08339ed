"""What passes over the line to a node, and what is told meanwhile: slow, stalled and killed pulls, on both containerds.

The cases of `dev/bench bytes`, with smaller images on quicker lines. As they mostly wait, both versions have their turn
at the same time.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.program import command, private_environment
from tests.support.byte_cases import (
    CONTAINERD_KILLED,
    DRIP,
    EARLY_STALL,
    FETCH_KILLED,
    FIVE_STALLS,
    SLOW_UNPACK,
    STALL,
    STEADY,
    Case,
)
from tests.support.byte_runs import Outcome, pull
from tests.support.daemons import Containerd, containerd2_program, why_no_containerd, why_no_containerd2
from tests.support.slow_unpack import slow_unpack

pytestmark = [pytest.mark.containerd, pytest.mark.slow]

MB = 1_000_000
QUICKLY = {"initial-pull-attempt-delay": "200ms", "max-pull-attempt-delay": "200ms"}
HEADERS = 20_000
"""Bytes of HTTP around the blobs, at most."""


@contextmanager
def running(environment: Mapping[str, str] | None = None) -> Iterator[Sequence[Containerd]]:
    """Debian's containerd, and the one that dev/containerd2 builds where it has: these tests' own, to be killed."""
    if reason := why_no_containerd():
        pytest.skip(reason)
    binaries = [None] if why_no_containerd2() else [None, containerd2_program()]
    with ExitStack() as stack:
        directories = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npf-"))) for _ in binaries]
        yield [
            stack.enter_context(Containerd(directory, binary=binary, environment=environment))
            for directory, binary in zip(directories, binaries, strict=True)
        ]


@pytest.fixture(scope="module")
def containerds() -> Iterator[Sequence[Containerd]]:
    with running() as both:
        yield both


@pytest.fixture(scope="module")
def slow_containerds() -> Iterator[Sequence[Containerd]]:
    """They take three seconds longer to unpack a layer."""
    with tempfile.TemporaryDirectory() as directory, running(slow_unpack(Path(directory), 3)) as both:
        yield both


def outcomes(containerds: Sequence[Containerd], case: Case) -> Sequence[Outcome]:
    image = case.image()
    case = replace(case, options={**QUICKLY, **case.options})

    def pull_on(containerd: Containerd) -> Outcome:
        return pull(case, image, containerd, command(()), environment=private_environment())

    with ThreadPoolExecutor() as threads:
        return list(threads.map(pull_on, containerds))


def assert_all_came(outcome: Outcome) -> None:
    """The image is there, and what was told adds up: never less than before, in the end all of it."""
    assert 0 == outcome.code
    assert {outcome.layers_size} == outcome.totals
    for told in outcome.progress:
        assert sorted(told) == told
    assert outcome.layers_size == outcome.progress[-1][-1]


def assert_nothing_came_twice(outcome: Outcome) -> None:
    assert outcome.image.size <= outcome.bytes_passed <= outcome.image.size + HEADERS


def assert_next_to_nothing_came_twice(outcome: Outcome) -> None:
    assert 1 <= outcome.times_the_image <= 1.02


def test_a_steady_pull_that_takes_longer_than_its_limit_is_one_attempt(containerds: Sequence[Containerd]) -> None:
    """4 s, where nothing may come for 2."""
    for outcome in outcomes(containerds, STEADY.scaled(size=32 * MB, rate=8 * MB, limit="2s")):
        assert_all_came(outcome)
        assert_nothing_came_twice(outcome)
        assert 1 == outcome.attempts
        assert 4 <= len(set(outcome.progress[0]))


def test_a_stall_is_cut_and_the_rest_is_fetched(containerds: Sequence[Containerd]) -> None:
    """At 36.6 of 61.0 MiB in three layers, each of which shows whole MiB."""
    for outcome in outcomes(containerds, STALL.scaled(size=64 * MB, rate=32 * MB, limit="2s")):
        assert_all_came(outcome)
        assert_next_to_nothing_came_twice(outcome)
        assert ["stalled at 36.0 of 61.1 MiB for 2s"] == outcome.cuts


def test_five_stalls_cost_five_attempts_and_no_bytes(containerds: Sequence[Containerd]) -> None:
    """The limit leaves a busy machine the time to read what is there already, in which nothing comes."""
    case = FIVE_STALLS.scaled(size=200 * MB, rate=60 * MB, limit="5s", max_pull_attempt_timeout="5s")
    for outcome in outcomes(containerds, case):
        assert_all_came(outcome)
        assert_next_to_nothing_came_twice(outcome)
        assert ["stalled"] * 5 == outcome.reasons


def test_a_stall_within_the_first_mebibyte_is_cut(containerds: Sequence[Containerd]) -> None:
    """Where no byte is seen: after 40 kB of each layer."""
    for outcome in outcomes(containerds, EARLY_STALL.scaled(size=24 * MB, rate=24 * MB, limit="2s")):
        assert_all_came(outcome)
        assert_next_to_nothing_came_twice(outcome)
        assert ["stalled at 0.0 of 22.9 MiB for 2s"] == outcome.cuts


def test_a_fetch_that_was_killed_goes_on_half_way(containerds: Sequence[Containerd]) -> None:
    """At 24 MB/s the line has taken up to 1.2 MB when the node hangs up, and each of three layers may lose 64 KiB."""
    for outcome in outcomes(containerds, FETCH_KILLED.scaled(size=125 * MB, rate=24 * MB)):
        assert_all_came(outcome)
        assert_next_to_nothing_came_twice(outcome)
        assert (2, []) == (outcome.attempts, outcome.reasons)
        first_known = next(done for done in outcome.progress[1] if done)
        assert 0.45 * outcome.layers_size <= first_known


def test_a_pull_goes_on_half_way_when_containerd_was_killed(containerds: Sequence[Containerd]) -> None:
    """What it has not written yet goes with it, up to 1 MiB, and up to 1 MB on the line: of one layer 2 %."""
    for outcome in outcomes(containerds, replace(CONTAINERD_KILLED, layers=1).scaled(size=110 * MB, rate=20 * MB)):
        assert_all_came(outcome)
        assert_next_to_nothing_came_twice(outcome)
        assert ["runtime_gone"] == outcome.reasons


def test_a_drip_is_not_cut_though_nothing_is_seen_to_come_for_longer_than_the_limit(
    containerds: Sequence[Containerd],
) -> None:
    """100 KiB/s for three layers: each needs 31 s for the first MiB, and the limit is 30 s, the default."""
    for outcome in outcomes(containerds, DRIP):
        assert_all_came(outcome)
        assert_nothing_came_twice(outcome)
        assert 1 == outcome.attempts


def test_a_slow_unpack_is_not_cut_by_the_limit_of_the_attempt(slow_containerds: Sequence[Containerd]) -> None:
    """3 s a layer, with a limit of 2 s."""
    for outcome in outcomes(slow_containerds, SLOW_UNPACK):
        assert_all_came(outcome)
        assert_nothing_came_twice(outcome)
        assert 1 == outcome.attempts
        assert 6 <= outcome.seconds


def test_a_slow_unpack_is_cut_by_its_own_limit_and_fetches_nothing_again(
    slow_containerds: Sequence[Containerd],
) -> None:
    """There is no layer in 2.5 s; the second attempt gives each 4 s, and 3 are enough."""
    case = SLOW_UNPACK.scaled(size=SLOW_UNPACK.size, rate=SLOW_UNPACK.rate, unpack_timeout="2500ms")
    for outcome in outcomes(slow_containerds, case):
        assert_all_came(outcome)
        assert_nothing_came_twice(outcome)
        assert ["unpacking stalled for 2.5s"] == outcome.cuts
