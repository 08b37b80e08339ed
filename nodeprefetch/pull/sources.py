"""Chooses where a run sees the progress of its pulls."""

from pathlib import Path

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.pull.progress_source import ProgressSource
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.settings import AttemptClockKind, FetchSettings

USUAL_DOWNLOAD_DIR = "/run/nodeprefetch/crio-downloads"
"""Where manifests mount the directory in which CRI-O downloads."""


def open_source(runtime: Runtime, settings: FetchSettings, emit: Reader) -> ProgressSource | None:
    """Return what shows the progress of pulls, with a notice where nothing does.

    Args:
        runtime: where images are pulled.
        settings: of the run.
        emit: gets notices.
    """
    if runtime.containerd is not None:
        from nodeprefetch.pull.lease_progress import LeaseProgress  # noqa: PLC0415 - only one of them is loaded

        return LeaseProgress(runtime.containerd, shares_downloads=runtime.version.is_containerd_2)
    if not runtime.version.is_crio:
        return None
    path = settings.crio_download_dir or (USUAL_DOWNLOAD_DIR if Path(USUAL_DOWNLOAD_DIR).is_dir() else None)
    if path is None:
        text = (
            "the progress of CRI-O's pulls is not visible: mount the node's /var/tmp read-only at "
            f"{USUAL_DOWNLOAD_DIR}, or set --crio-download-dir"
        )
        emit(Notice(message=text, is_warning=False))
        return None
    from nodeprefetch.pull.directory_progress import DirectoryProgress  # noqa: PLC0415 - as above
    from nodeprefetch.runtime.download_dirs import DownloadDirectories  # noqa: PLC0415

    return DirectoryProgress(DownloadDirectories(path), emit, unpack_timeout=settings.unpack_timeout)


def is_unseen(source: ProgressSource | None, settings: FetchSettings, *, keeps_bytes: bool) -> bool:
    """Whether an attempt that is cancelled may have moved, and loses its bytes.

    Args:
        source: what shows progress.
        settings: of the run.
        keeps_bytes: whether pulls have leases.
    """
    is_followed = source is not None and source.shows("") and settings.attempt_clock is not AttemptClockKind.WALL
    return not keeps_bytes and not is_followed
