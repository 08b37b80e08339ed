"""Checks arguments that `--fetch-arg` and `--aggregate-arg` pass through, as the program in the container would."""

import difflib
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploy_gen import __version__, checks
from deploy_gen.problems import InputError, Problems
from deploy_gen.program_flags import AGGREGATE_FLAGS, FETCH_FLAGS

REPORT_GRACE, OVERALL_TIMEOUT = "--report-grace", "--overall-timeout"
_DEFAULT_REPORT_GRACE, _DEFAULT_OVERALL_TIMEOUT = 15, 20 * 60
"""Seconds."""

_EXIT_TIME = 15
"""Seconds that `fetch` needs from SIGTERM to its exit, at most, besides those of `--report-grace`."""

_LONGEST_GRACE = 24 * 60 * 60
_NUMBER = re.compile(r"[+-]?[0-9]+")
_BOOLEANS = {"true", "false"}

RESERVED_FETCH_FLAGS: Mapping[str, str] = {
    "--allow-failures": "use the flag --allow-failures of this generator",
    "--cri-socket": "use the flag --cri-socket of this generator",
    "--crio-download-dir": "use the flag --crio-download-dir of this generator",
    "--for-pods": "use the flag --once-for of this generator",
    "--node-access": "use the flag --node-access of this generator",
    "--node-label-prefix": "use the flag --node-label-prefix of this generator",
    "--registry-rate": "use the flag --registry-rate of this generator",
    "--spread": "use the flag --spread of this generator",
    "--node-condition": "use the flag --node-condition of this generator",
    "--remove-taint": "use the flag --remove-startup-taint of this generator",
    "--gate-timeout": "use the flag --gate-timeout of this generator",
    "--no-events": "use the flag --no-events of this generator",
    "--gate-file": "set by the manifest",
    "--image-credential-provider-config": "use the flag of the same name of this generator",
    "--image-credential-provider-bin-dir": "use the flag of the same name of this generator",
}
"""Flags of `fetch` that the manifest sets, and what to do instead."""

RESERVED_WITH_METRICS: Mapping[str, str] = {
    "--metrics-endpoint": "--collect-metrics sets it",
    "--metrics-token-file": "--collect-metrics sets it",
}
"""The same, if there is an aggregator."""

RESERVED_AGGREGATE_FLAGS: Mapping[str, str] = {
    "--http-port": "cannot be changed: the Service and the probes use the default",
    "--grpc-port": "cannot be changed: the Service uses the default",
    "--data-dir": "set by the manifest (use --persist to keep the data)",
    "--auth": "set by the manifest: fetch pods authenticate with their tokens",
    "--auth-service-account": "set by the manifest: the service account of the fetch pods",
    "--auth-audience": "cannot be changed: tokens of the fetch pods have the default audience",
    "--pulling-nodes": "use the flag --pulling-nodes of this generator",
    "--pulling-nodes-file": "use the flag --pulling-nodes of this generator",
    "--growth": "use the flag --growth of this generator",
    "--tls-cert-file": "not supported: the probes and fetch pods use plain HTTP",
    "--tls-key-file": "not supported: the probes and fetch pods use plain HTTP",
}
"""Flags of `aggregate` that the manifest sets or needs unchanged, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Command:
    """The command that gets the arguments."""

    passed_by: str
    """Flag of this generator."""

    known: Mapping[str, str]
    reserved: Mapping[str, str]
    """Flags that cannot be passed, and why."""

    takes_images: bool


def check_fetch_args(arguments: Sequence[str], *, collects_metrics: bool, has_needs: bool = False) -> tuple[str, ...]:
    """Check arguments of `fetch`. Returns them unchanged.

    Args:
        arguments: of all `--fetch-arg`.
        collects_metrics: there is an aggregator.
        has_needs: the manifest has a list of images that new nodes need.

    Raises:
        InputError: with all arguments that `fetch` would reject or the manifest sets.
    """
    reserved = {
        **RESERVED_FETCH_FLAGS,
        **(RESERVED_WITH_METRICS if collects_metrics else {}),
        **({"--gate-needs": "the flag --gate-needs of this generator sets it"} if has_needs else {}),
    }
    return _check(arguments, _Command(passed_by="--fetch-arg", known=FETCH_FLAGS, reserved=reserved, takes_images=True))


def check_aggregate_args(arguments: Sequence[str]) -> tuple[str, ...]:
    """Check arguments of `aggregate` in the same way."""
    command = _Command(
        passed_by="--aggregate-arg", known=AGGREGATE_FLAGS, reserved=RESERVED_AGGREGATE_FLAGS, takes_images=False
    )
    return _check(arguments, command)


def termination_grace(fetch_args: Sequence[str]) -> int:
    """Calculate the seconds that a fetch pod needs from SIGTERM to its exit: `--report-grace`, and some for the rest.

    Args:
        fetch_args: as `check_fetch_args` returns them.

    Raises:
        InputError: `--report-grace` is longer than a day.
    """
    report = _DEFAULT_REPORT_GRACE
    for text in _values(REPORT_GRACE, fetch_args):
        report = checks.duration(text)
        if report > _LONGEST_GRACE:
            raise InputError(f"{REPORT_GRACE}: must not exceed 24h, got {text!r}")
    return report + _EXIT_TIME


def overall_timeout(fetch_args: Sequence[str]) -> int:
    """Return the seconds that a run may take, `--overall-timeout`.

    Args:
        fetch_args: as `check_fetch_args` returns them.
    """
    return max(map(checks.duration, _values(OVERALL_TIMEOUT, fetch_args)), default=_DEFAULT_OVERALL_TIMEOUT)


def _values(flag: str, fetch_args: Sequence[str]) -> Iterator[str]:
    """Yield the values of a flag."""
    for number, argument in enumerate(fetch_args):
        name, equals, value = argument.partition("=")
        if _name(name) == flag:
            yield value if equals else fetch_args[number + 1]


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
            break  # only images follow
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
    """Check a flag, whose value may be the next argument and is then removed from the rest. Returns its name."""
    flag, equals, value = argument.partition("=")
    is_alone = flag.split() == [flag]
    name = _name(flag.split()[0])
    kind = command.known.get(name)
    if kind is None:
        similar = difflib.get_close_matches(name, command.known, n=1)
        hint = f" (did you mean {similar[0]}?)" if similar else ""
        raise InputError(f"{name}: unknown flag in nodeprefetch {__version__}{hint}")
    if is_alone and not equals:
        value = _take_value(kind, rest)
    if name in command.reserved:
        raise InputError(f"{name}: {command.reserved[name]}")
    if not is_alone:
        raise InputError(f"{argument!r}: must not contain a space (write {_split(argument, command)})")
    if kind:
        kind = kind.removesuffix("…")
        if not value:
            raise InputError(f"{name}: requires a value (write {command.passed_by}={name}={kind})")
        _check_value(name, kind, value)
    elif equals or value:
        raise InputError(f"{name}: takes no value, got {value!r} (write {command.passed_by}={name}, or leave it out)")
    return name


def _take_value(kind: str, rest: deque[str]) -> str:
    """Take the next argument if it can only be the value of this flag. Otherwise returns an empty text."""
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


def _split(argument: str, command: _Command) -> str:
    """Split an argument that has several flags and values into the flags of this generator that pass them."""
    forms: list[str] = []
    for word in argument.split():
        if forms and not word.startswith("-") and "=" not in forms[-1]:
            forms[-1] += "=" + word.removeprefix("=")
        else:
            forms.append(word)
    return " ".join(f"{command.passed_by}={form}" for form in forms)


def _name(flag: str) -> str:
    """Normalize a flag, as the program accepts underscores for dashes."""
    return "--" + flag.removeprefix("--").replace("_", "-") if flag.startswith("--") else flag
