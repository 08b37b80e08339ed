"""Arguments that are passed on to the program in the containers, checked as that program would check them."""

import difflib
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy_gen import __version__, checks
from deploy_gen.problems import InputError, Problems
from deploy_gen.program_flags import AGGREGATE, FETCH

REPORT_GRACE = "--report-grace"
_DEFAULT_REPORT_GRACE, _TO_END = 15, 15
"""Seconds: what `fetch` takes for its report by default; and for all else from the signal to its end, at most."""

_LONGEST_GRACE = 24 * 60 * 60
_NUMBER = re.compile(r"[+-]?[0-9]+")
_BOOLEANS = {"true", "false"}

_OURS_OF_FETCH: Mapping[str, str] = {
    "--allow-failures": "use the flag --allow-failures of this generator",
    "--cri-socket": "use the flag --cri-socket of this generator",
    "--node-label-prefix": "use the flag --node-label-prefix of this generator",
    "--image-credential-provider-config": "use the flag of the same name of this generator",
    "--image-credential-provider-bin-dir": "use the flag of the same name of this generator",
}
_OURS_WITH_METRICS: Mapping[str, str] = {
    "--metrics-endpoint": "--collect-metrics sets it",
    "--metrics-token-file": "--collect-metrics sets it",
}
_OURS_OF_AGGREGATE: Mapping[str, str] = {
    "--http-port": "the Service and the probes need the default",
    "--grpc-port": "the Service needs the default",
    "--data-dir": "it is set; --persist keeps it",
    "--auth": "it is set: tokens of the fetch pods",
    "--auth-service-account": "it is set: that of the fetch pods",
    "--auth-audience": "the fetch pods' tokens are for the default",
    "--tls-cert-file": "the probes and fetch pods speak plain HTTP",
    "--tls-key-file": "the probes and fetch pods speak plain HTTP",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Command:
    """Whose arguments they are."""

    passed_by: str
    """The flag of this generator."""

    known: Mapping[str, str]
    ours: Mapping[str, str]
    """Flags that the manifest sets, and why."""

    takes_images: bool


def check_fetch_args(arguments: Sequence[str], *, collects_metrics: bool) -> tuple[str, ...]:
    """The arguments, in their order.

    Raises:
        InputError: with everything that `fetch` would refuse, and what the manifest sets itself.
    """
    ours = {**_OURS_OF_FETCH, **(_OURS_WITH_METRICS if collects_metrics else {})}
    return _check(arguments, _Command(passed_by="--fetch-arg", known=FETCH, ours=ours, takes_images=True))


def check_aggregate_args(arguments: Sequence[str]) -> tuple[str, ...]:
    """The same for `aggregate`."""
    command = _Command(passed_by="--aggregate-arg", known=AGGREGATE, ours=_OURS_OF_AGGREGATE, takes_images=False)
    return _check(arguments, command)


def termination_grace(fetch_args: Sequence[str]) -> int:
    """Seconds that a pod needs from SIGTERM to its end: what `--report-grace` says, and some for the rest.

    Args:
        fetch_args: as `check_fetch_args` returns them.

    Raises:
        InputError: it is longer than a day.
    """
    report = _DEFAULT_REPORT_GRACE
    for number, argument in enumerate(fetch_args):
        flag, equals, value = argument.partition("=")
        if _name(flag) == REPORT_GRACE:
            text = value if equals else fetch_args[number + 1]
            report = checks.duration(text)
            if report > _LONGEST_GRACE:
                raise InputError(f"{REPORT_GRACE}: {text!r} is longer than a day")
    return report + _TO_END


def _check(arguments: Sequence[str], command: _Command) -> tuple[str, ...]:
    problems = Problems()
    for argument in arguments:
        with problems.collected():
            checks.plain_text(argument)
    given: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if argument == "--":
            break  # images alone follow
        with problems.collected():
            if argument.startswith("-"):
                given.append(_check_flag(argument, rest, command))
            elif not command.takes_images:
                raise InputError(f"{argument!r}: aggregate takes flags only")
            elif argument.split() != [argument]:
                raise InputError(f"{argument!r}: an image must not be empty or contain whitespace")
    once = [flag for flag in given if not command.known[flag].endswith("…")]
    problems.add(*(f"{flag}: must not be given more than once" for flag in once if once.count(flag) > 1))
    problems.raise_if_any()
    return tuple(arguments)


def _check_flag(argument: str, rest: deque[str], command: _Command) -> str:
    """The flag's name. Its value may be the next of the arguments, and is taken from there."""
    flag, equals, value = argument.partition("=")
    is_alone = flag.split() == [flag]
    name = _name(flag.split()[0])
    kind = command.known.get(name)
    if kind is None:
        similar = difflib.get_close_matches(name, command.known, n=1)
        hint = f" (did you mean {similar[0]}?)" if similar else ""
        raise InputError(f"{name}: no such flag in nodeprefetch {__version__}{hint}")
    if is_alone and not equals:
        value = _take_value(kind, rest)
    if name in command.ours:
        raise InputError(f"{name}: {command.ours[name]}")
    if not is_alone:
        raise InputError(f"{argument!r}: must not contain a blank (write {_taken_apart(argument, command)})")
    if kind:
        kind = kind.removesuffix("…")
        if not value:
            raise InputError(f"{name}: the value is missing (write {command.passed_by}={name}={kind})")
        _check_value(name, kind, value)
    elif equals or value:
        raise InputError(f"{name}: takes no value, got {value!r} (write {command.passed_by}={name}, or leave it out)")
    return name


def _take_value(kind: str, rest: deque[str]) -> str:
    """The next argument where it can only be this flag's value; else an empty text."""
    if not rest:
        return ""
    following = rest[0]
    is_flag = following.startswith("-") and following != "-" and not _NUMBER.fullmatch(following)
    return rest.popleft() if (not is_flag if kind else following.lower() in _BOOLEANS) else ""


def _check_value(flag: str, kind: str, value: str) -> None:
    if "|" in kind and value not in kind.split("|"):
        raise InputError(f"{flag}: {value!r} must be one of {', '.join(kind.split('|'))}")
    if kind == "N" and not _NUMBER.fullmatch(value):
        raise InputError(f"{flag}: {value!r} must be a whole number")
    if kind == "DURATION":
        problems = Problems()
        with problems.collected(f"{flag}: "):
            checks.duration(value)
        problems.raise_if_any()


def _taken_apart(argument: str, command: _Command) -> str:
    """Flags and values that stand in one argument, as they must be passed."""
    forms: list[str] = []
    for word in argument.split():
        if forms and not word.startswith("-") and "=" not in forms[-1]:
            forms[-1] += "=" + word.removeprefix("=")
        else:
            forms.append(word)
    return " ".join(f"{command.passed_by}={form}" for form in forms)


def _name(flag: str) -> str:
    """The program takes underscores for dashes."""
    return "--" + flag.removeprefix("--").replace("_", "-") if flag.startswith("--") else flag
