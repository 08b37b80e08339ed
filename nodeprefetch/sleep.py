"""`sleep`: keeps a pod running after its init container has finished, with as little memory as possible."""

# The C module: the enums that signal.py adds take 0.8 MiB on top of 8.6.
import _signal as signal  # type: ignore[import-not-found]
import sys


def sleep() -> int:
    """Wait for SIGTERM or SIGINT, and return 0.

    Blocks the signals and waits for them with sigwait. This also works as PID 1, for which the kernel discards signals
    without a handler, and a signal that arrives before the wait is not lost.
    """
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    sys.stderr.write("Sleeping...\n")
    sys.stderr.flush()
    signal.sigwait(ends)
    return 0
