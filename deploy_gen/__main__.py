"""`nodeprefetch-deploy` and `python -m deploy_gen`: print manifests or write them, and set the exit code."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy_gen.arguments import parse_arguments
from deploy_gen.kustomization import render_directory
from deploy_gen.manifests import build_manifests, notices
from deploy_gen.options import Options
from deploy_gen.output_dir import write_directory
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from deploy_gen.yaml import render

OK, WRITE_FAILED, USAGE, BROKEN_PIPE = 0, 1, 2, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the manifests, or report all problems of the arguments. Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        options = read_options(parse_arguments(arguments))
    except InputError as error:
        return _rejected(error)
    for notice in notices(options):
        _report(f"note: {notice}")
    return _write(options, arguments) if options.output_dir else _print(options, arguments)


def _rejected(error: InputError) -> int:
    for problem in error.problems:
        _report(problem)
    _report("no manifests generated; see --help")
    return USAGE


def _write(options: Options, arguments: Sequence[str]) -> int:
    directory = Path(options.output_dir)
    files = render_directory(options, arguments)
    try:
        changes = write_directory(directory, options.name, files)
    except InputError as error:
        return _rejected(error)
    except OSError as error:
        _report(f"cannot write to {error.filename or directory}: {error.strerror}")
        return WRITE_FAILED
    _report(f"{directory}: {len(changes.written)} of {len(files)} files written")
    for path in changes.deleted:
        _report(f"{directory / path}: deleted, as it is no longer generated (kubectl apply does not delete its object)")
    return OK


def _print(options: Options, arguments: Sequence[str]) -> int:
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
