"""Timeouts and delays of retries, in exact numbers."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.values.retry import RetryPolicy, full_jitter


def test_limits_double_up_to_their_maximum() -> None:
    limits = [round_.timeout for round_ in islice(RetryPolicy().rounds(), 7)]

    assert [30, 60, 120, 240, 300, 300, 300] == limits


def test_pauses_double_up_to_their_maximum() -> None:
    pauses = [round_.max_delay for round_ in islice(RetryPolicy().rounds(), 12)]

    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] == pauses


def test_a_maximum_below_the_first_value_wins() -> None:
    policy = RetryPolicy(initial_timeout=30, max_timeout=10, initial_delay=5, max_delay=2)

    assert [(10, 2), (10, 2)] == list(islice(policy.rounds(), 2))


def test_without_a_pause_there_is_never_one() -> None:
    assert [0, 0, 0] == [r.max_delay for r in islice(RetryPolicy(initial_delay=0).rounds(), 3)]
    assert [0, 0, 0] == [r.max_delay for r in islice(RetryPolicy(max_delay=0).rounds(), 3)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial_timeout", 0),
        ("max_timeout", 0),
        ("max_timeout", -1),
        ("initial_delay", -1),
        ("max_delay", float("nan")),
    ],
)
def test_limits_must_be_positive_and_pauses_not_negative(field: str, value: float) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 0.0), (0.25, 2.0), (0.5, 4.0)])
def test_what_is_waited_is_a_random_part_of_the_longest_pause(chance: float, delay: float) -> None:
    assert delay == full_jitter(8.0, lambda: chance)


@given(
    initial=st.floats(min_value=1e-3, max_value=1e6),
    maximum=st.floats(min_value=1e-3, max_value=1e6),
)
def test_no_round_is_shorter_than_the_one_before_nor_above_the_maximum(initial: float, maximum: float) -> None:
    policy = RetryPolicy(initial_timeout=initial, max_timeout=maximum, initial_delay=initial, max_delay=maximum)
    rounds = list(islice(policy.rounds(), 40))

    assert sorted(rounds) == rounds
    assert (maximum, maximum) == max(rounds)
