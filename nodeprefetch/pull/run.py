"""`fetch`: pulls a list of images onto this node, with one task per image, and returns the report.

Lifetimes, outermost first: the connection to the runtime and the signal receiver; the work, which the overall timeout
or a signal cancels; one task per image.
"""

import math
import random
import signal
import uuid
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import trio

from nodeprefetch import __version__
from nodeprefetch.credentials.auth import CredentialSource
from nodeprefetch.emitter import Reader
from nodeprefetch.errors import RuntimeUnavailableError, UsageError
from nodeprefetch.events import ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.pull.attempt import PullContext
from nodeprefetch.pull.digests import Digests
from nodeprefetch.pull.disk import open_disk_guard
from nodeprefetch.pull.download_rate import PARALLEL_PULLS
from nodeprefetch.pull.holds import can_yield, start_holds
from nodeprefetch.pull.image import Pull
from nodeprefetch.pull.image_lists import list_after, list_before
from nodeprefetch.pull.leases import Leases, NoLeases, open_leases
from nodeprefetch.pull.pauses import Pauses
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.pull.registries import Registries
from nodeprefetch.pull.sources import is_unseen, open_source
from nodeprefetch.pull.start import Start, StartAtOnce, StartPermit
from nodeprefetch.runtime.connect import Connect, Runtime
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.runtime.image_check import ImageCheck
from nodeprefetch.settings import FetchSettings, pull_policy
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef

if TYPE_CHECKING:
    from nodeprefetch.pull.pins import Pins


SUPERSEDED = signal.SIGHUP
"""Stops a run of `keep` whose image list has changed: another run follows at once."""

LONGEST_QUEUE = 256
"""Images that may wait for their first slot at the same time. Each costs memory, so the others begin later.

More than the parallel pulls, so that credentials are ready when a slot is free.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How a run ended."""

    images: tuple[ImageFinished, ...]
    """In the list's order."""

    end: RunEnd
    signal: int | None = None
    """Number of the signal that stopped it."""

    is_delivered: bool = True
    """Whether an aggregator has all events."""

    @property
    def failed(self) -> tuple[ImageFinished, ...]:
        """Images that are missing."""
        return tuple(image for image in self.images if image.outcome is Outcome.FAILED)

    def count(self, outcome: Outcome) -> int:
        """How many images have that outcome."""
        return sum(image.outcome is outcome for image in self.images)


async def fetch(
    images: Sequence[ImageRef],
    settings: FetchSettings,
    *,
    connect: Connect,
    credentials: CredentialSource,
    emit: Reader,
    permit: StartPermit | None = None,
    signals: AsyncIterable[int] | None = None,
    jitter: Callable[[], float] = random.random,
) -> Report:
    """Pull every image onto this node, and emit events about it.

    Args:
        images: each once.
        settings: how to pull.
        connect: finds the runtime.
        credentials: asked for every image to pull.
        emit: gets all events; the last one is `RunFinished`.
        permit: obtained before the first pull; None: pulls start at once. Images that are present need none.
        signals: signal numbers; the first one stops the run, see also `SUPERSEDED`.
        jitter: random numbers from 0 to 1.

    Raises:
        RuntimeUnavailableError: no runtime answered. Raised in an exception group, as from any nursery.
        UsageError: the runtime cannot do what the settings demand. Raised in the same way.
    """
    run = _Run(images=images, settings=settings, credentials=credentials, emit=emit, jitter=jitter)
    work = run.scope
    if permit is not None:
        run.start = Start(permit, work=work, run_id=run.run_id, emit=emit)
    stopped_by: list[int] = []
    async with trio.open_nursery() as nursery:
        last_list = trio.CancelScope()
        if signals is not None:
            nursery.start_soon(stop_at_first, signals, stopped_by, (work, last_list))
        with work:
            try:
                await run.work(connect, nursery)
            except (RuntimeUnavailableError, UsageError) as error:
                run.finish(RunEnd.NO_RUNTIME, cancelled=str(error))
                raise
        await run.settle()
        if settings.debug and run.runtime is not None:
            with last_list:
                await list_after(run.runtime.service, settings, emit)
        nursery.cancel_scope.cancel()
    if stopped_by:
        return run.finish(RunEnd.STOPPED, signal=stopped_by[0])
    return run.finish(RunEnd.TIMED_OUT if work.cancelled_caught and run.has_unfinished_pulls else RunEnd.FINISHED)


def _parallel_pulls(settings: FetchSettings, runtime: Runtime) -> float:
    """Number of parallel pulls. Default: as many as the runtime can use (docs/adr/0013)."""
    if settings.max_parallel_pulls is not None:
        return settings.max_parallel_pulls or math.inf
    if settings.max_download_rate is not None:
        return PARALLEL_PULLS
    if runtime.version.is_containerd_2:
        return 3 if can_yield(settings, runtime) else 2
    return 8


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


async def stop_at_first(signals: AsyncIterable[int], stopped_by: list[int], scopes: Sequence[trio.CancelScope]) -> None:
    """Cancel the scopes at the first signal. All signals are added to the list."""
    async for number in signals:
        stopped_by.append(number)
        for scope in scopes:
            scope.cancel()


@dataclass(kw_only=True, slots=True)
class _Run:
    images: Sequence[ImageRef]
    settings: FetchSettings
    credentials: CredentialSource
    emit: Reader
    jitter: Callable[[], float]
    started: float = field(default_factory=trio.current_time)
    scope: trio.CancelScope = field(init=False)
    """Around `work`. Its deadline is the overall timeout."""

    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    runtime: Runtime | None = None
    pins: "Pins | None" = None
    leases: Leases | NoLeases = field(default_factory=NoLeases)
    pulls: list[Pull] = field(init=False)
    start: Start | StartAtOnce = field(default_factory=StartAtOnce)

    def __post_init__(self) -> None:
        self.scope = trio.CancelScope(deadline=self.started + self.settings.overall_timeout)
        self.pulls = [Pull(image=image, policy=pull_policy(image, self.settings.pull_policy)) for image in self.images]

    async def work(self, connect: Connect, nursery: trio.Nursery) -> None:
        """Everything that the overall timeout and signals cancel."""
        runtime = self.runtime = await connect(nursery)
        self._emit_start(runtime)
        context = await self._prepare(runtime, nursery)
        queue = trio.Semaphore(LONGEST_QUEUE)
        async with trio.open_nursery() as pulls:
            for pull in self.pulls:
                await queue.acquire()
                pull.on_queue_left = queue.release
                pulls.start_soon(self._pull, pull, context, name=f"pull {pull.image.text}")
                await trio.lowlevel.checkpoint()  # images queue for slots in the order of the list

    def _emit_start(self, runtime: Runtime) -> None:
        self.emit(
            RunStarted(
                run_id=self.run_id,
                node=self.settings.node,
                instance=self.settings.instance,
                version=__version__,
                runtime=f"{runtime.version.name} {runtime.version.version}",
                socket=runtime.socket,
                images=tuple(image.text for image in self.images),
                report_every=self.settings.report_every,
                is_warm=self.settings.keeps_present,
                list_digest=list_digest(self.images),
            )
        )

    async def _prepare(self, runtime: Runtime, nursery: trio.Nursery) -> PullContext:
        """Open what the pulls of the run share."""
        gate = RuntimeGate(runtime.service, self.emit)
        if self.settings.pin:
            from nodeprefetch.pull.pins import Pins  # noqa: PLC0415 - loaded only with --pin

            self.pins = Pins(runtime, self.emit, instance=self.settings.instance)
        self.leases = open_leases(runtime, self.settings, self.emit, run=self.run_id, ends=lambda: self.scope.deadline)
        inventory = await list_before(runtime.service, gate, self.settings, self.emit)
        disk = await open_disk_guard(
            self.settings.min_free_disk,
            self.settings.image_fs_path,
            service=runtime.service,
            images=[image.text for image in self.images],
            emit=self.emit,
        )
        nursery.start_soon(disk.run)
        source = open_source(runtime, self.settings, self.emit)
        progress = ProgressWatch(source, self.emit, settings=self.settings, disk=disk)
        await nursery.start(progress.run)
        pauses = Pauses(self.emit, progress.sight)
        await start_holds(runtime, self.settings, pauses, self.emit, nursery)
        nursery.start_soon(self.start.run)
        return PullContext(
            service=runtime.service,
            inventory=inventory,
            credentials=self.credentials,
            settings=self.settings,
            slots=trio.CapacityLimiter(_parallel_pulls(self.settings, runtime)),
            start=self.start,
            gate=gate,
            emit=self.emit,
            progress=progress,
            leases=self.leases,
            image_check=ImageCheck(runtime.containerd, snapshotter=runtime.snapshotter),
            is_unseen=is_unseen(source, self.settings, keeps_bytes=not isinstance(self.leases, NoLeases)),
            digests=Digests(runtime.containerd),
            disk=disk,
            pauses=pauses,
            registries=Registries(
                self.emit,
                retry=self.settings.retry,
                ends=lambda: self.scope.deadline,
                jitter=self.jitter,
            ),
            jitter=self.jitter,
        )

    @property
    def has_unfinished_pulls(self) -> bool:
        """Whether some pull has no outcome. Pins and leases, settled after the pulls, do not count."""
        return any(pull.result is None for pull in self.pulls)

    async def _pull(self, pull: Pull, context: PullContext) -> None:
        await pull.run(context)
        pull.leave_queue()
        self.emit(pull.finished(elapsed=trio.current_time() - self.started))
        if self.pins is not None and pull.is_present:
            await self.pins.keep(pull.image_id)
        if pull.outcome is Outcome.SUCCEEDED:
            await self.leases.release(pull.image)

    async def settle(self) -> None:
        """End what pulls had: permit, pins and leases. No overall timeout or signal cancels it."""
        async with trio.open_nursery() as ends:
            is_warm = all(pull.is_present for pull in self.pulls)
            ends.start_soon(partial(self.start.end, is_warm=is_warm))
            await self._settle_pins()
            await self.leases.settle([pull.image for pull in self.pulls if pull.can_resume_later])

    async def _settle_pins(self) -> None:
        """Pin what is not pinned yet, and unpin what left the list."""
        if self.pins is not None:
            present = [pull.image_id for pull in self.pulls if pull.is_present]
            await self.pins.settle(present, [pull.image for pull in self.pulls if not pull.is_present])

    def finish(self, end: RunEnd, *, signal: int | None = None, cancelled: str = "") -> Report:
        """Give every image its outcome: pulls that were cancelled have failed."""
        elapsed = trio.current_time() - self.started
        if end is RunEnd.TIMED_OUT:
            cancelled = f"cancelled: overall timeout ({format_duration(self.settings.overall_timeout)}) exceeded"
        elif signal == SUPERSEDED:
            cancelled = "cancelled: the image list has changed"
        elif signal is not None:
            cancelled = f"cancelled by {_signal_name(signal)}"
        results = []
        for pull in self.pulls:
            result = pull.result
            if result is None:
                result = pull.finished(
                    elapsed=elapsed,
                    cancelled=cancelled,
                    cancel_reason="no_runtime" if end is RunEnd.NO_RUNTIME else "cancelled",
                )
                self.emit(result)
            results.append(result)
        report = Report(images=tuple(results), end=end, signal=signal)
        self.emit(
            RunFinished(
                run_id=self.run_id,
                end=end,
                succeeded=report.count(Outcome.SUCCEEDED),
                present=report.count(Outcome.PRESENT),
                failed=report.count(Outcome.FAILED),
                elapsed=elapsed,
                superseded=signal == SUPERSEDED,
            )
        )
        return report
