"""Amounts of disk space are parsed and formatted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.values.sizes import DiskFloor, SizeError, parse_disk_floor


@pytest.mark.parametrize(
    ("text", "floor"),
    [
        ("10Gi", DiskFloor(size=10 * 1024**3)),
        ("500M", DiskFloor(size=500_000_000)),
        ("1.5G", DiskFloor(size=1_500_000_000)),
        ("2Ti", DiskFloor(size=2 * 1024**4)),
        ("7k", DiskFloor(size=7000)),
        ("12345", DiskFloor(size=12345)),
        ("0", DiskFloor()),
        ("15%", DiskFloor(percent=15)),
        (" 2.5% ", DiskFloor(percent=2.5)),
    ],
)
def test_an_amount_is_read(text, floor):
    assert floor == parse_disk_floor(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected e.g. 10Gi, 500M or 15%"),
        ("much", "expected e.g. 10Gi, 500M or 15%"),
        ("-1Gi", "expected e.g. 10Gi, 500M or 15%"),
        ("1e3", "expected e.g. 10Gi, 500M or 15%"),
        ("10 Gi", "expected e.g. 10Gi, 500M or 15%"),
        ("10GB", "unknown unit 'GB'"),
        ("10K", "unknown unit 'K'"),
        ("100%", "must be less than 100%"),
        ("\u0661Gi", "expected e.g. 10Gi, 500M or 15%"),
    ],
)
def test_an_invalid_amount_is_refused_with_examples(text, problem):
    with pytest.raises(SizeError) as caught:
        parse_disk_floor(text)

    assert problem in str(caught.value)


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_refused(text):
    try:
        floor = parse_disk_floor(text)
    except SizeError:
        return
    assert floor.of(1000) >= 0


def test_per_cent_are_of_the_file_system():
    assert 150 == parse_disk_floor("15%").of(1000)
    assert 300 == parse_disk_floor("300").of(1000)


@pytest.mark.parametrize(("text", "shown"), [("15%", "15%"), ("10Gi", "10.0 GiB"), ("0", "0 B")])
def test_an_amount_is_written(text, shown):
    assert shown == str(parse_disk_floor(text))
