"""Arguments that are passed on to the program in the containers: which ones cannot be, as the manifest decides them."""

from collections.abc import Mapping, Sequence

from deploy_gen import checks
from deploy_gen.problems import InputError, Problems

REPORT_GRACE = "--report-grace"
_DEFAULT_REPORT_GRACE, _TO_END = 15, 15
"""Seconds: what `fetch` takes for its report by default; and for all else from the signal to its end, at most."""

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


def check_fetch_args(arguments: Sequence[str], *, collects_metrics: bool) -> tuple[str, ...]:
    """The arguments, in their order.

    Raises:
        InputError: the manifest sets one of them itself, and `fetch` takes it once.
    """
    return _check(arguments, {**_OURS_OF_FETCH, **(_OURS_WITH_METRICS if collects_metrics else {})})


def check_aggregate_args(arguments: Sequence[str]) -> tuple[str, ...]:
    """The same for `aggregate`."""
    return _check(arguments, _OURS_OF_AGGREGATE)


def termination_grace(fetch_args: Sequence[str]) -> int:
    """Seconds that a pod needs from SIGTERM to its end: what `--report-grace` says, and some for the rest.

    Raises:
        InputError: its value is no duration.
    """
    report: str | None = None
    for number, argument in enumerate(fetch_args):
        flag, equals, value = argument.partition("=")
        if flag == REPORT_GRACE:
            report = value if equals else "".join(fetch_args[number + 1 : number + 2])
    if report is None:
        return _DEFAULT_REPORT_GRACE + _TO_END
    try:
        return checks.duration(report) + _TO_END
    except InputError as error:
        raise InputError(f"{REPORT_GRACE}: {error}") from error


def _check(arguments: Sequence[str], ours: Mapping[str, str]) -> tuple[str, ...]:
    problems = Problems()
    for argument in arguments:
        with problems.collected():
            checks.plain_text(argument)
        flag = argument.partition("=")[0]
        if flag in ours:
            problems.add(f"{flag}: {ours[flag]}")
    problems.raise_if_any()
    return tuple(arguments)
