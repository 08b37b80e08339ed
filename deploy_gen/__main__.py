"""`nodeprefetch-deploy` and `python -m deploy_gen`: argv to manifests on stdout. Exit codes are known here alone."""

import os
import sys
from collections.abc import Sequence

from deploy_gen.arguments import parse
from deploy_gen.manifests import manifests, notices
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from deploy_gen.yaml import render

OK, NOT_WRITTEN, USAGE, READER_GONE = 0, 1, 2, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Print the manifests that the arguments ask for, or everything that is wrong with them. Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        options = read_options(parse(arguments))
    except InputError as error:
        for problem in error.problems:
            _say(problem)
        _say("nothing was printed; --help tells of all flags")
        return USAGE
    for notice in notices(options):
        _say(f"note: {notice}")
    try:
        sys.stdout.write(render(manifests(options), options.output, arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # who reads it has seen enough
        return _unwritten(READER_GONE)
    except OSError as error:
        _say(f"standard output cannot be written: {error.strerror}")
        return _unwritten(NOT_WRITTEN)
    return OK


def _unwritten(code: int) -> int:
    """The code; else the interpreter would try again to write, complain once more, and end with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _say(text: str) -> None:
    sys.stderr.write(f"nodeprefetch-deploy: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
