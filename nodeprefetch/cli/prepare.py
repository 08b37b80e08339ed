"""Prepares a `fetch`: checks everything the user gave, and opens what the run needs around it."""

import math
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from nodeprefetch.cli import optional_parts
from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flag_settings import fetch_settings, read_seconds
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.inputs import ImageListError, load_credential_plugins, read_list_file
from nodeprefetch.cli.node_access import check_node_access
from nodeprefetch.cli.node_reporters import node_reporters
from nodeprefetch.credentials.chain import open_chain
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.emitter import Emitter, Notices, Reader
from nodeprefetch.errors import Problems
from nodeprefetch.events import ListRejected
from nodeprefetch.pull.run import Report, fetch
from nodeprefetch.report.node_description import NodeDescription
from nodeprefetch.report.readers import Deliverer, Reporter, reporting
from nodeprefetch.report.unrecognized import UnrecognizedErrors
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.settings import FetchSettings, LogFormat
from nodeprefetch.text.known_secrets import knowing_secrets
from nodeprefetch.values.image_ref import ImageRef

if TYPE_CHECKING:
    from nodeprefetch.cli.for_pods import PreparedPods
    from nodeprefetch.cli.gate import PreparedGate
    from nodeprefetch.cli.start import PreparedStart
    from nodeprefetch.pull.start import StartPermit


class PreparedFetch(msgspec.Struct, frozen=True, kw_only=True):
    """A run of `fetch` that is ready to start."""

    settings: FetchSettings
    environment: Environment
    images: tuple[ImageRef, ...]
    plugins: tuple[Plugin, ...]
    reporters: tuple[Deliverer, ...]
    """Deliver events, such as the submitter."""

    speakers: tuple[Reporter, ...]
    """Write on the node when they finish, in this order, and emit events about it, which the reporters deliver."""

    pods: "PreparedPods | None"
    """The pods for which the node pulls; None: it always does."""

    gate: "PreparedGate | None"
    """Decides when the node takes pods; None: at any time."""

    start: "PreparedStart | None"
    """What the first pull waits for; None: nothing."""

    report_grace: float
    """Seconds that reporters have after the run."""

    progress_interval: float
    """Seconds between two progress log lines of a pull; 0: none."""

    emit: Emitter
    """Passes events to the reporters and to the reader given to `run`."""

    notices: Notices
    """Warnings. Kept until `run` has a reader for them."""

    rejection: ListRejected | None
    """Why this run does not use the newest lists; its first event."""

    @property
    def is_still_closed(self) -> bool:
        """Whether the node may take pods, but startup taints or its condition do not say so, after the run."""
        return self.gate is not None and self.gate.keeper.is_stuck

    async def run(self, reader: Reader, signals: AsyncIterable[int]) -> Report:
        """Pull the images and report the results.

        Args:
            reader: receives all events.
            signals: the first one cancels the run.
        """
        self.emit.add_first(reader)
        self.notices.pass_to(self.emit)
        if self.rejection is not None:
            self.emit(self.rejection)
        with knowing_secrets():
            return await self._run(signals)

    async def _run(self, signals: AsyncIterable[int]) -> Report:
        if self.pods is not None and (ended := await self.pods.ask(signals, grace=self.report_grace)):
            return ended
        async with (
            reporting(
                self.reporters, grace=self.report_grace, speakers=self.speakers, warn=self.notices.add
            ) as progress,
            open_chain(self.plugins, self.notices.add) as credentials,
            self._permit() as permit,
        ):
            report = await fetch(
                self.images,
                self.settings,
                connect=connect_to(
                    self.settings.cri_socket,
                    wait=self.settings.runtime_wait,
                    environment=self.environment.variables,
                    warn=self.notices.add,
                    handler=self.settings.runtime_handler,
                ),
                credentials=credentials,
                emit=self.emit,
                permit=permit,
                signals=signals,
            )
        return replace(report, is_delivered=not progress.undelivered)

    @asynccontextmanager
    async def _permit(self) -> AsyncGenerator["StartPermit | None"]:
        if self.start is None:
            yield None
            return
        async with self.start.open() as permit:
            yield permit


def prepare(
    flags: FetchFlags,
    read_images: Callable[[], tuple[ImageRef, ...]],
    environment: Environment,
    *,
    is_warm: bool = False,
    is_report: bool = False,
    read: Callable[[str], bytes] = read_list_file,
    report_every: float = math.inf,
    rejection: ListRejected | None = None,
    for_pods: str | None = None,
) -> PreparedFetch:
    """Check everything the user gave, before anything is done.

    Args:
        flags: of the command.
        read_images: reads the lists; raises `UsageError`.
        environment: of the process.
        is_warm: the node was found to have all images. Then only what is missing counts, and makes it lose its label.
        is_report: report everything, also if nothing has changed.
        read: reads the list of `--gate-needs`.
        report_every: seconds between runs that report, also if nothing has changed; infinite: there may be none.
        rejection: why the images are not those of the newest lists.
        for_pods: pull only if one of these pods is on the node; None: always.

    Raises:
        UsageError: with all problems.
    """
    problems = Problems()
    notices, emit = Notices(), Emitter()
    on_node = NodeDescription(emit).take
    with problems.collected():
        settings = msgspec.structs.replace(
            fetch_settings(flags, environment),
            keeps_present=is_warm,
            report_every=report_every if report_every < math.inf else 0,
        )
    with problems.collected():
        grace = read_seconds(flags, "report_grace", may_be_zero=True)
    with problems.collected():
        progress_interval = read_seconds(flags, "progress_interval", may_be_zero=True)
    refs: tuple[ImageRef, ...] = ()
    invalid: ImageListError | None = None
    with problems.collected():
        try:
            refs = read_images()
        except ImageListError as error:
            invalid = error
            raise
    with problems.collected():
        plugins = load_credential_plugins(flags, environment.variables, notices.add)
    with problems.collected():
        check_node_access(flags)
    reporters: list[Deliverer] = []
    speakers: list[Reporter] = []
    gate: PreparedGate | None = None
    with problems.collected():
        gate = optional_parts.gate(flags, refs, read, notices, emit, problems=problems)
    with problems.collected():
        speakers += node_reporters(
            flags, notices, emit, environment, on_node=on_node, is_warm=is_warm, is_report=is_report, gate=gate
        )
    with problems.collected():
        reporters += optional_parts.submitter(flags, notices, environment)
    pods: PreparedPods | None = None
    with problems.collected():
        pods = optional_parts.pods(
            flags, for_pods, environment, images=refs, notices=notices, emit=emit, on_node=on_node
        )
    start: PreparedStart | None = None
    with problems.collected():
        start = optional_parts.start(flags, refs, notices, emit, environment, on_node=on_node, gate=gate)
    for reporter in (*speakers, *reporters):
        emit.add(reporter.emit)
    if gate is not None:
        speakers.append(gate.keeper)
        emit.add(gate.keeper.emit)  # last: what it says comes after what it has heard
        if problems.first and gate.is_over:
            from nodeprefetch.cli.gate import open_nevertheless  # noqa: PLC0415 - only with a gate

            open_nevertheless(
                gate,
                problems.first,
                log_format=LogFormat(flags.log_format or LogFormat.LOGFMT),
                notices=notices,
                emit=emit,
                reporters=reporters,
                speakers=speakers,
            )
    if invalid is not None and not (gate is not None and gate.is_over):
        from nodeprefetch.cli.invalid_list import report_invalid_list  # noqa: PLC0415 - only with such a list

        report_invalid_list(
            invalid.problems,
            log_format=LogFormat(flags.log_format or LogFormat.LOGFMT),
            notices=notices,
            emit=emit,
            speakers=speakers,
        )
    problems.raise_if_any()
    emit.add(UnrecognizedErrors(emit).hear)
    return PreparedFetch(
        settings=settings,
        environment=environment,
        images=refs,
        plugins=plugins,
        reporters=tuple(reporters),
        speakers=tuple(speakers),
        pods=pods,
        gate=gate,
        start=start,
        report_grace=grace,
        progress_interval=progress_interval,
        emit=emit,
        notices=notices,
        rejection=rejection,
    )
