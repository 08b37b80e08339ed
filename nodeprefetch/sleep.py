"""`sleep`: keeps a pod running after its init container did the work, in as little memory as Python can."""

# CPython's own functions. The enums that signal.py puts around them would be 0.8 MiB on top of 8.6.
import _signal as signal  # type: ignore[import-not-found]
import sys


def sleep() -> int:
    """Wait for SIGTERM or SIGINT; both are a clean end, 0.

    The signals are blocked and taken from the queue. So they end us as PID 1 too, where a signal without a handler
    is thrown away by the kernel, and one that comes before we wait is not lost.
    """
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    sys.stderr.write("Sleeping...\n")
    sys.stderr.flush()
    signal.sigwait(ends)
    return 0
