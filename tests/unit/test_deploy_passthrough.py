"""Arguments for `fetch` and `aggregate` are checked before they are in a manifest, as the program would check them."""

import pytest
from cyclopts import CycloptsError

from deploy_gen.passthrough import check_aggregate_args, check_fetch_args, termination_grace
from deploy_gen.problems import InputError
from deploy_gen.program_flags import FETCH_FLAGS
from nodeprefetch.cli.commands import app
from nodeprefetch.cli.flag_settings import fetch_settings
from nodeprefetch.errors import UsageError
from tests.golden import flags
from tests.support.argument_cases import BAD, GOOD


def problems(*arguments: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        check_fetch_args(arguments, collects_metrics=False)
    return list(caught.value.problems)


def program_takes(arguments: tuple[str, ...]) -> bool:
    try:
        _, bound, _ = app.parse_args(["fetch", *arguments], exit_on_error=False, print_error=False)
        if "flags" in bound.arguments:
            fetch_settings(bound.arguments["flags"])
    except (CycloptsError, UsageError):
        return False
    return True


def test_the_table_has_the_flags_of_the_program() -> None:
    """After a change of a flag: python -m tests.golden.flags."""
    assert flags.text() == flags.FILE.read_text("utf-8")


@pytest.mark.parametrize("arguments", GOOD, ids=" ".join)
def test_what_the_program_accepts_is_passed_through(arguments: tuple[str, ...]) -> None:
    assert program_takes(arguments)
    assert arguments == check_fetch_args(arguments, collects_metrics=True)


@pytest.mark.parametrize(("arguments", "problem"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_what_the_program_rejects_is_rejected(arguments: tuple[str, ...], problem: str) -> None:
    assert arguments in {("--help",), ("nginx:1 redis:7",)} or not program_takes(arguments)
    assert [problem] == [one[: len(problem)] for one in problems(*arguments)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--pin=true",), "--pin: takes no value, got 'true' (write --fetch-arg=--pin, or leave it out)"),
        (("--pin=false",), "--pin: takes no value, got 'false' (write --fetch-arg=--pin, or leave it out)"),
        (("--pin", "false"), "--pin: takes no value, got 'false' (write --fetch-arg=--pin, or leave it out)"),
        (("--pin=",), "--pin: takes no value, got '' (write --fetch-arg=--pin, or leave it out)"),
        (("--cri_socket=/x",), "--cri-socket: use the flag --cri-socket of this generator"),
        (("--cri-socket", "/x y"), "--cri-socket: use the flag --cri-socket of this generator"),
        (("--cri-socket /x",), "--cri-socket: use the flag --cri-socket of this generator"),
    ],
)
def test_what_would_surprise_is_rejected(arguments: tuple[str, ...], problem: str) -> None:
    assert [problem] == problems(*arguments)


def test_a_mistyped_flag_has_a_suggestion() -> None:
    assert problems("--overal-timeout=40m")[0].endswith(" (did you mean --overall-timeout?)")
    assert problems("--xylophone")[0].endswith("0")


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        "--overall-timeout 40m", "--bogus", "--pin=yes", "--attempt-clock", "--docker-config", "--runtime-wait=x"
    )

    assert 6 == len(found)


def test_a_flag_that_is_set_by_the_manifest_is_a_flag_of_the_program() -> None:
    assert {"--metrics-endpoint", "--metrics-token-file", "--cri-socket"} <= set(FETCH_FLAGS)


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("--retention 48h", "'--retention 48h': must not contain a space (write --aggregate-arg=--retention=48h)"),
        ("--retension=48h", "--retension: unknown flag"),
        ("--auth_read=true", "--auth-read: takes no value, got 'true' (write --aggregate-arg=--auth-read"),
        ("nginx:1", "'nginx:1': aggregate takes flags only"),
    ],
)
def test_the_aggregators_arguments_are_checked_as_well(argument: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        check_aggregate_args([argument])

    assert [problem] == [one[: len(problem)] for one in caught.value.problems]


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [((), 30), (("--report_grace=1m",), 75), (("--pin", "--report-grace", "24h"), 86415)],
)
def test_the_termination_grace_follows_the_flag_in_all_spellings(arguments: tuple[str, ...], seconds: int) -> None:
    assert seconds == termination_grace(arguments)


def test_the_report_grace_is_at_most_a_day() -> None:
    with pytest.raises(InputError, match="must not exceed 24h"):
        termination_grace(["--report-grace=25h"])
