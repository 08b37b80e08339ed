"""Prepares the gate of a node that takes no pods until its images are there."""

import math
import sys
import time
from collections.abc import Callable, Sequence

import msgspec
import trio

from nodeprefetch.cli.flag_settings import read_seconds
from nodeprefetch.cli.flags import FetchFlags, KeepFlags
from nodeprefetch.cli.inputs import read_needed
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.kube import Node
from nodeprefetch.report.gate import Gate, GateState
from nodeprefetch.report.gate_record import GateRecord
from nodeprefetch.report.gatekeeper import Gatekeeper
from nodeprefetch.report.readers import Deliverer, Reporter, reporting
from nodeprefetch.report.startup_taints import is_named
from nodeprefetch.settings import LogFormat
from nodeprefetch.text.outlet import open_outlet
from nodeprefetch.text.scrub import scrub
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.taint import NamedTaint, parse_taint

REPORT_GRACE = 15.0
"""Seconds for reports where `--report-grace` may be invalid."""


class PreparedGate(msgspec.Struct, frozen=True, kw_only=True):
    """The gate of a run, and what is to happen when it opens."""

    gate: Gate
    keeper: Gatekeeper
    taints: tuple[NamedTaint, ...]
    """To be removed."""

    gives_up_at: float
    """When its time is over, seconds of CLOCK_MONOTONIC; infinite: never, or it is open already."""

    @property
    def is_over(self) -> bool:
        """Whether its time is over, and nobody has found all images."""
        return self.gives_up_at <= time.monotonic() or self.gate.state is GateState.GAVE_UP

    def holds(self, node: Node | None) -> bool:
        """Whether pods wait for this node, as far as is known.

        Args:
            node: as it was read; None: it could not be read.
        """
        if self.gate.state is not GateState.CLOSED:
            return False
        return node is None or not self.taints or any(is_named(taint, self.taints) for taint in node.taints)


def prepare_gate(
    flags: FetchFlags,
    images: Sequence[ImageRef],
    *,
    read: Callable[[str], bytes],
    notices: Notices,
    emit: Emitter,
    problems: Problems,
) -> PreparedGate:
    """Check the flags about the gate, and find out since when it has been waiting.

    Args:
        flags: of the command.
        images: of the lists; empty if these are invalid.
        read: reads a list.
        notices: takes messages for people.
        emit: takes the event that it opens.
        problems: takes what is wrong with the list of needed images. The gate opens for other reasons nevertheless.

    Raises:
        UsageError: with all other problems.
    """
    wrong = Problems()
    timeout = math.inf
    needed: tuple[str, ...] | None = None
    with wrong.collected():
        timeout = read_seconds(flags, "gate_timeout", may_be_zero=True) or math.inf
    with wrong.collected():
        taints = _taints(flags)
    if images:
        with problems.collected():
            needed = read_needed(flags.gate_needs, images, read=read)
    wrong.raise_if_any()
    record = GateRecord(flags.gate_file or "", warn=notices.add)
    gate = Gate(
        age=record.age,
        timeout=timeout,
        state=record.state,
        needed=needed,
        is_last_try=flags.allow_failures and not isinstance(flags, KeepFlags),
    )
    return PreparedGate(
        gate=gate,
        keeper=Gatekeeper(gate, record, emit=emit),
        taints=taints,
        gives_up_at=record.since + timeout if record.state is GateState.CLOSED else math.inf,
    )


def open_nevertheless(
    gate: PreparedGate,
    problem: str,
    *,
    log_format: LogFormat,
    notices: Notices,
    emit: Emitter,
    reporters: Sequence[Deliverer],
    speakers: Sequence[Reporter],
) -> None:
    """Let the node take pods as its time is over, although the run cannot begin: nobody may mend the flags or lists.

    Args:
        gate: of the node.
        problem: what is wrong.
        log_format: of what is logged.
        notices: kept so far; logged.
        emit: of the run.
        reporters: hear what the speakers emit, and deliver it.
        speakers: write on the node, with the keeper of the gate.
    """
    from nodeprefetch.report.log import log_to  # noqa: PLC0415 - only here without a run

    async def main() -> None:
        async with reporting(reporters, grace=REPORT_GRACE, speakers=speakers):
            gate.keeper.fail(scrub(problem))

    with open_outlet(sys.stderr) as outlet:
        emit.add_first(log_to(outlet.put, log_format))
        notices.pass_to(emit)
        trio.run(main)


def _taints(flags: FetchFlags) -> tuple[NamedTaint, ...]:
    problems: list[str] = []
    taints: list[NamedTaint] = []
    for text in flags.remove_taint:
        try:
            taints.append(parse_taint(text))
        except UsageError as error:
            problems += [f"--remove-taint: {problem}" for problem in error.problems]
    if problems:
        raise UsageError(problems)
    return tuple(dict.fromkeys(taints))
