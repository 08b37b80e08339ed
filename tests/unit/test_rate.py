"""Rates of requests."""

import pytest

from nodeprefetch.values.rate import RateError, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"), [("700/s", 700), ("44000/m", pytest.approx(733.33, abs=0.01)), (" 90/h ", 0.025), ("0.5/s", 0.5)]
)
def test_a_rate_is_requests_per_second(text, rate):
    assert rate == parse_rate(text)


@pytest.mark.parametrize("text", ["", "700", "700/", "/s", "700/d", "-1/s", "1e3/s", "7 00/s", "٣/s"])
def test_what_is_no_rate_is_refused_with_examples(text):
    with pytest.raises(RateError, match=r"expected e\.g\. 700/s"):
        parse_rate(text)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(RateError, match="must be greater than 0"):
        parse_rate("0/m")
