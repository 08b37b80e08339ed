"""Runs a prepared `fetch` with its reader, the live table or the log, and stops it on a signal."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from nodeprefetch.cli.prepare import PreparedFetch
from nodeprefetch.cli.stop_signals import STOP_SIGNALS, stop_signals
from nodeprefetch.emitter import Reader
from nodeprefetch.pull.run import Report
from nodeprefetch.settings import LogFormat
from nodeprefetch.text.outlet import open_outlet


def run_prepared(
    prepared: PreparedFetch, log_format: LogFormat | None, *, stops: Sequence[signal.Signals] = STOP_SIGNALS
) -> Report:
    """Pull the images and report the results.

    Args:
        prepared: what to do.
        log_format: None: a live table on a terminal, otherwise logfmt.
        stops: signals that stop the run.
    """

    async def main() -> Report:
        with stop_signals(*stops) as signals:
            return await prepared.run(reader, signals)

    with _reader(log_format, prepared.progress_interval) as reader:
        return trio.run(main)


@contextmanager
def _reader(log_format: LogFormat | None, progress_interval: float) -> Iterator[Reader]:
    """The live table on a terminal, otherwise the log."""
    if log_format is None and sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415

        from nodeprefetch.report.live import live_table  # noqa: PLC0415

        with live_table(Console(stderr=True)) as emit:
            yield emit
    else:
        from nodeprefetch.report.log import log_to, lost  # noqa: PLC0415

        style = log_format or LogFormat.LOGFMT
        with open_outlet(sys.stderr, lost(style)) as outlet:
            yield log_to(outlet.put, style, progress_interval=progress_interval)
