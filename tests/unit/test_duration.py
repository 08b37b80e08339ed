"""Durations in Go's notation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.values.duration import DurationError, format_age, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("+0", 0.0),
        ("0s", 0.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("300ms", 0.3),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("1us", 1e-6),
        ("1ns", 1e-9),
        ("+5s", 5.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("1h1m1.25s", 3661.25),
        ("30s1m", 90.0),
        ("0.9ns", 0.0),
        ("2562047h47m16s", 9223372036.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "invalid duration '' (expected e.g. 1m30s, 1.5h or 300ms)"),
        ("+", "invalid duration '+' (expected e.g. 1m30s, 1.5h or 300ms)"),
        ("-1s", "invalid duration '-1s': must not be negative"),
        ("-0", "invalid duration '-0': must not be negative"),
        ("30", "invalid duration '30': missing unit (e.g. 30s or 30m)"),
        ("1m30", "invalid duration '1m30' (expected e.g. 1m30s, 1.5h or 300ms)"),
        ("5 s", "invalid duration '5 s' (expected e.g. 1m30s, 1.5h or 300ms)"),
        ("1d", "invalid duration '1d': unknown unit 'd' (use h, m, s, ms, µs or ns)"),
        ("1S", "invalid duration '1S' (expected e.g. 1m30s, 1.5h or 300ms)"),
        (".s", "invalid duration '.s': missing number before 's'"),
        ("s", "invalid duration 's': missing number before 's'"),
        ("٣s", "invalid duration '٣s' (expected e.g. 1m30s, 1.5h or 300ms)"),
        ("2562048h", "invalid duration '2562048h': longer than 292 years"),
        ("1" * 101 + "s", f"invalid duration '{'1' * 100}' (expected e.g. 1m30s, 1.5h or 300ms)"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_hint(text: str, problem: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)

    assert problem == str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (90, "1m30s"),
        (300, "5m"),
        (0.3, "300ms"),
        (1.5, "1.5s"),
        (3600, "1h"),
        (3605, "1h5s"),
        (90061.25, "25h1m1.25s"),
        (1.5e-6, "1.5µs"),
        (2e-9, "2ns"),
        (0.001, "1ms"),
        (1e-10, "0s"),
    ],
)
def test_a_duration_is_written_short(seconds: float, text: str) -> None:
    assert text == format_duration(seconds)


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_what_is_no_duration_is_not_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        format_duration(seconds)


@given(st.integers(min_value=0, max_value=2**52))
def test_what_is_written_is_read_back(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9

    assert seconds == parse_duration(format_duration(seconds))


@given(st.one_of(st.text(), st.text(alphabet="0123456789.hmsnuµ+-")))
def test_any_text_is_a_duration_or_our_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except DurationError:
        seconds = 0.0

    assert 0 <= seconds < 2**63 / 10**9


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (-5.0, "0s"),
        (0.9, "0s"),
        (119.9, "119s"),
        (120.0, "2m"),
        (7199.0, "119m"),
        (7200.0, "2h"),
        (172799.0, "47h"),
        (172800.0, "2d"),
        (1e9, "11574d"),
    ],
)
def test_an_age_is_shown_in_one_unit(seconds: float, age: str) -> None:
    assert age == format_age(seconds)
