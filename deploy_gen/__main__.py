"""`nodeprefetch-deploy` and `python -m deploy_gen`: print manifests to standard output and set the exit code."""

import os
import sys
from collections.abc import Sequence

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests, notices
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from deploy_gen.yaml import render

OK, WRITE_FAILED, USAGE, BROKEN_PIPE = 0, 1, 2, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Print the manifests, or all problems of the arguments. Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        options = read_options(parse_arguments(arguments))
    except InputError as error:
        for problem in error.problems:
            _report(problem)
        _report("no manifests generated; see --help")
        return USAGE
    for notice in notices(options):
        _report(f"note: {notice}")
    try:
        sys.stdout.write(render(build_manifests(options), options.output, arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        return _discard_output(BROKEN_PIPE)
    except OSError as error:
        _report(f"cannot write to standard output: {error.strerror}")
        return _discard_output(WRITE_FAILED)
    return OK


def _discard_output(code: int) -> int:
    """Redirect standard output. Otherwise the interpreter flushes it again, fails and changes the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _report(text: str) -> None:
    sys.stderr.write(f"nodeprefetch-deploy: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
