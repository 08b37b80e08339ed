"""Starts what holds the pulls of a run back, as its settings say."""

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.errors import UsageError
from nodeprefetch.events import Notice
from nodeprefetch.pull.download_rate import DownloadRate
from nodeprefetch.pull.io_pressure import IoPressure
from nodeprefetch.pull.pauses import Pauses
from nodeprefetch.pull.yielding import Yielding
from nodeprefetch.runtime.api import ContainerdApi
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.settings import FetchSettings


async def start_holds(
    runtime: Runtime, settings: FetchSettings, pauses: Pauses, emit: Reader, nursery: trio.Nursery
) -> None:
    """Start to yield, and to limit the rate and the disks' pressure.

    Args:
        runtime: where pulls of others and downloads are seen.
        settings: of the run.
        pauses: the pulls of the run.
        emit: gets notices.
        nursery: for what looks at the node during the run.

    Raises:
        UsageError: the rate is to be limited, and this runtime does not allow it.
    """
    if settings.max_download_rate is not None:
        api = _needed_for_rate(runtime, settings)
        nursery.start_soon(DownloadRate(settings.max_download_rate, api, pauses, emit).run)
    if settings.max_io_pressure is not None:
        await nursery.start(IoPressure(settings.max_io_pressure, pauses, emit).run)
    if runtime.containerd is not None and can_yield(settings, runtime):
        nursery.start_soon(Yielding(runtime.containerd, pauses, emit).run)
    elif settings.yields:
        why = "--no-resume" if runtime.containerd else f"{runtime.version.name} does not show other pulls"
        emit(Notice(message=f"--yield has no effect: {why}"))


def can_yield(settings: FetchSettings, runtime: Runtime) -> bool:
    """Whether pulls pause while somebody else pulls: wanted, and possible here."""
    return settings.yields is not False and settings.resume and runtime.containerd is not None


def _needed_for_rate(runtime: Runtime, settings: FetchSettings) -> ContainerdApi:
    if runtime.containerd is not None and settings.resume:
        return runtime.containerd
    why = f"{runtime.version.name} shows no downloads and keeps nothing of a paused pull"
    if not settings.resume:
        why = "--no-resume keeps nothing of a paused pull"
    elif runtime.version.name == "containerd":
        why = "containerd's own API is not available"
    raise UsageError([f"--max-download-rate: cannot limit the rate: {why}"])
