"""Parses the command line: flags in any order, in all spellings that Go programs accept."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NoReturn

from deploy_gen import __version__
from deploy_gen.flags import add_flags
from deploy_gen.problems import InputError

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""Values of a switch that Go's flag package accepts."""

_PASS_THROUGH = frozenset({"--fetch-arg", "--aggregate-arg"})
"""Flags whose value may look like one of this program's flags."""

_EPILOG = f"""\
Flags may come before or after NAME, with one dash or two, and take their value after '=' or a space.

Examples:
  nodeprefetch-deploy web --images images.txt | kubectl apply -f -
  nodeprefetch-deploy web --namespace prefetch --secret registry --collect-metrics > web.yaml
  nodeprefetch-deploy web --k8s-flavor ocp --namespace prefetch --images images.txt | oc apply -f -
  nodeprefetch-deploy web --images images.txt --output-dir web && kubectl apply -k web

Without --images, create the ConfigMap NAME with the key images.txt yourself:
  kubectl create configmap web --from-file=images.txt

Exit codes:
  0  manifests printed or written
  1  cannot write them
  2  invalid flags: all problems are reported, no manifests generated

nodeprefetch-deploy {__version__}"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the values of all flags, unvalidated, with `names` and `problems`. Ends the process for --help.

    Raises:
        InputError: argparse rejects a flag.
    """
    parser = new_parser()
    flags, names, problems = _sort(argv, parser)
    parsed = parser.parse_args(flags)
    parsed.names = names
    parsed.problems = problems
    return parsed


def _sort(argv: Sequence[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str], list[str]]:
    """Sort arguments into flags (as `--flag=value` or `--switch`), names and problems."""
    actions = {option: action for action in parser._actions for option in action.option_strings}  # noqa: SLF001
    flags: list[str] = []
    names: list[str] = []
    problems: list[str] = []
    rest: Iterator[str] = iter(argv)
    while (argument := next(rest, None)) is not None:
        if argument == "--":
            names.extend(rest)
            break
        if not argument.startswith("-") or argument == "-":
            names.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        flag = flag if flag == "-h" else "--" + flag.lstrip("-")
        action = actions.get(flag)
        if action is None:
            problems.append(f"{argument!r}: unknown flag")
        elif action.nargs == 0:
            if equals and value not in _TRUE | _FALSE:
                problems.append(f"{flag}: {value!r} must be true or false")
            elif not equals or value in _TRUE:
                flags.append(flag)
        elif equals:
            flags.append(f"{flag}={value}")
        else:
            following = next(rest, None)
            # As in Go, a value may begin with a dash.
            if following is not None and (flag in _PASS_THROUGH or following not in actions):
                flags.append(f"{flag}={following}")
                continue
            problems.append(f"{flag}: requires a value")
            rest = chain([following] if following else [], rest)
    return flags, names, problems


def new_parser() -> argparse.ArgumentParser:
    """Build the parser, with all flags."""
    parser = _Parser(
        prog="nodeprefetch-deploy",
        usage="nodeprefetch-deploy NAME [FLAG…]",
        description="Print the Kubernetes manifests of an installation of nodeprefetch called NAME.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add_flags(parser)
    parser.add_argument_group("Help").add_argument("-h", "--help", action="help", help="Show this help.")
    return parser
