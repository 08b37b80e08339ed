"""Where the program starts. What needs to be small or quick is done here, before anything large is imported."""

# CPython's own functions: the enums that signal.py puts around them are too large for `sleep`.
import _signal as signal  # type: ignore[import-not-found]
import gc
import os
import sys


def main() -> None:
    """The console script. Exits with the code of the command."""
    _end_at_once_when_interrupted()
    _open_standard_streams()
    match sys.argv[1:]:
        case ["sleep"]:
            from nodeprefetch.sleep import sleep  # noqa: PLC0415

            sys.exit(sleep())
        case ["--version"]:
            from nodeprefetch import __version__  # noqa: PLC0415

            sys.stdout.write(f"{__version__}\n")
            sys.exit(0)
        case arguments:
            from nodeprefetch.cli.commands import run  # noqa: PLC0415

            code = run(arguments)
            _let_go_of_standard_streams()
            gc.freeze()  # else Python looks through everything once more on its way out, for 20 ms
            sys.exit(code)


def _end_at_once_when_interrupted() -> None:
    """SIGINT while modules are loaded: nothing is done yet, and a traceback out of any of them tells nobody anything.

    A command that has something to end in order handles it otherwise, see stopsignals.py.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as in a shell's background
        signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))


def _open_standard_streams() -> None:
    """Some start programs without them. Then Python has None in their place, and a socket may get their numbers."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - the last of the three
            pass
        os.close(number)
        sys.stdin = sys.stdin or os.fdopen(0, "r")
        sys.stdout = sys.stdout or os.fdopen(1, "w")
        sys.stderr = sys.stderr or os.fdopen(2, "w")


def _let_go_of_standard_streams() -> None:
    """What somebody who left did not read must not change the exit code: Python would make it 120 at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
