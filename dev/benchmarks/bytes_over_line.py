"""Compare bytes and time of slow, stalled and interrupted pulls: with and without resuming ("plain")."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.figures import MEBIBYTE, Figure
from benchmarks.surroundings import Surroundings
from nodeprefetch.testing.images import Image
from tests.support import byte_cases as cases
from tests.support.byte_cases import Case
from tests.support.byte_runs import Outcome, pull
from tests.support.daemons import Containerd, containerd2_program, why_no_containerd, why_no_containerd2
from tests.support.slow_unpack import slow_unpack

_QUICKER = 12 * MEBIBYTE
"""Bytes per second in all cases but the first and the drip: with four, the benchmark would take half an hour."""

_BROKEN = (cases.STALL, cases.FIVE_STALLS, cases.EARLY_STALL, cases.FETCH_KILLED, cases.CONTAINERD_KILLED)
_UNPACK_SECONDS = 3.0
_DELAYS = {"initial-pull-attempt-delay": "4s", "max-pull-attempt-delay": "4s"}
"""Upper limit, like all that follow. containerd collects the leftovers of a plain pull within 0.3 s: an attempt that
starts sooner, as one in fourteen does, finds them."""

_OPTIONS = {cases.FIVE_STALLS.name: {"max_pull_attempt_timeout": "24s"}}
"""Without it, doubling timeouts would make this take two minutes."""

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def bytes_over_line(around: Surroundings) -> Iterator[Figure]:
    """Measure both versions of containerd at once, as they mostly wait; with resuming first, then plain."""
    missing = why_no_containerd()
    if missing:
        around.left_out.append(f"bytes over the line: {missing}")
        return
    binaries = [None, containerd2_program()]
    if missing := why_no_containerd2():
        around.left_out.append(f"bytes over the line, containerd 2: {missing}")
        binaries = binaries[:1]
    slow = slow_unpack(around.directory / "slow", _UNPACK_SECONDS)
    with ExitStack() as stack:
        usual, overloaded = (
            [
                stack.enter_context(Containerd(around.directory / f"{name}{number}", binary=binary, environment=found))
                for number, binary in enumerate(binaries)
            ]
            for name, found in (("u", {}), ("o", slow))
        )
        broken = [case.scaled(size=case.size, rate=_QUICKER, **_OPTIONS.get(case.name, {})) for case in _BROKEN]
        for case in (cases.STEADY, *broken, cases.DRIP):
            yield from _compare(around, usual, case)
        yield from _compare(around, overloaded, cases.SLOW_UNPACK)


def _compare(around: Surroundings, containerds: Sequence[Containerd], case: Case) -> Iterator[Figure]:
    image = case.image()
    case = replace(case, options={**_DELAYS, **case.options})
    ours, plain = (_pull(around, containerds, case, image, plain=is_plain) for is_plain in (False, True))
    for containerd, one, other in zip(containerds, ours, plain, strict=True):
        version = containerd.version.partition("~")[0]
        yield _figure(f"{case.name}, containerd {version}{_unless_done(one)}", "s", one.seconds)
        yield _figure(f"  plain{_unless_done(other)}", "s", other.seconds)
        yield _figure("  ratio", "x", one.seconds / other.seconds)
        yield _figure("  bytes / image size", "x", one.times_the_image, goal=1.02)
        yield _figure("  plain", "x", other.times_the_image)
        yield _figure("  ratio", "x", one.bytes_passed / other.bytes_passed)
        yield _figure("  attempts", "", one.attempts)
        yield _figure("  plain", "", other.attempts)


def _pull(
    around: Surroundings, containerds: Sequence[Containerd], case: Case, image: Image, *, plain: bool
) -> list[Outcome]:
    def pull_on(containerd: Containerd) -> Outcome:
        return pull(case, image, containerd, [around.product.program], environment=_ENVIRONMENT, plain=plain)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(pull_on, containerds))


def _figure(name: str, unit: str, value: float, *, goal: float | None = None) -> Figure:
    return Figure(name=name, unit=unit, values=(value,), goal=goal)


def _unless_done(outcome: Outcome) -> str:
    return "" if outcome.code == 0 else ", not done"
