"""Entry point. Handles what must be small or fast before it imports anything large."""

# The C module: the enums that signal.py adds are too large for `sleep`.
import _signal as signal  # type: ignore[import-not-found]
import gc
import os
import sys


def main() -> None:
    """Run the command line, and exit with the code of the command."""
    _exit_at_once_when_interrupted()
    _open_standard_streams()
    match sys.argv[1:]:
        case ["sleep"]:
            from nodeprefetch.sleep import sleep  # noqa: PLC0415

            sys.exit(sleep())
        case ["--version"]:
            from nodeprefetch import __version__  # noqa: PLC0415

            sys.stdout.write(f"{__version__}\n")
            sys.exit(0)
        case ["supervise", *plan]:  # what `keep` becomes
            from nodeprefetch.keep.supervisor import supervise  # noqa: PLC0415

            sys.exit(supervise(plan))
        case ["keep", *_] if _finds_everything():
            gc.freeze()
            sys.exit(0)
        case arguments:
            from nodeprefetch.cli.commands import run  # noqa: PLC0415

            _exit(run(arguments))


def kubectl_plugin() -> None:
    """Run the command line of `kubectl nodeprefetch`, and exit with the code of the command."""
    _exit_at_once_when_interrupted()
    _open_standard_streams()
    from nodeprefetch.cli.kubectl import run  # noqa: PLC0415

    _exit(run(sys.argv[1:]))


def _exit(code: int) -> None:
    _flush_standard_streams()
    gc.freeze()  # saves a garbage collection at exit, 20 ms
    sys.exit(code)


def _finds_everything() -> bool:
    """Whether this is a run of `keep` that has nothing to do: most are. `cli/keep.py` makes the others."""
    order = os.environ.get("NODEPREFETCH_KEEP_RUN", "")
    if not order.startswith("check settled news "):
        return False

    from nodeprefetch.cli.presence import finds_everything  # noqa: PLC0415

    return finds_everything(order)


def _exit_at_once_when_interrupted() -> None:
    """Exit on SIGINT while modules are imported, without a traceback: nothing is done yet.

    On SIGTERM too as PID 1, for which the kernel discards a signal without a handler: the pod would be killed later.
    Commands that have something to clean up replace this handler, see cli/stop_signals.py.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is ignored in a shell's background jobs
        signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def _open_standard_streams() -> None:
    """Open missing standard streams on /dev/null: Python has None for them, and a socket could get their numbers."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
            pass
        os.close(number)
        sys.stdin = sys.stdin or os.fdopen(0, "r")
        sys.stdout = sys.stdout or os.fdopen(1, "w")
        sys.stderr = sys.stderr or os.fdopen(2, "w")


def _flush_standard_streams() -> None:
    """Flush output, and discard what cannot be written: Python would otherwise exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
