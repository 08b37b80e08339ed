"""Sizes and rates are formatted for people."""

import pytest

from nodeprefetch.values.sizes import format_rate, format_share, format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, ""),
        (512, "512 B"),
        (1536, "1.5 KiB"),
        (5 * 2**30, "5.0 GiB"),
        (3 * 2**40, "3.0 TiB"),
        (2**52, "4096.0 TiB"),
    ],
)
def test_sizes_are_in_powers_of_1024(size, text):
    assert text == format_size(size)


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (143 * 2**20, 512 * 2**20, "143 of 512 MiB"),
        (0, 512 * 2**20, "0 of 512 MiB"),
        (100 * 2**20, 1536 * 2**20, "0.1 of 1.5 GiB"),
        (12_300, 40_960, "12.0 of 40.0 KiB"),
        (5, 700, "5 of 700 B"),
        (3 * 2**20, 0, "3.0 MiB"),
        (143 * 2**20, 0, "143 MiB"),
    ],
)
def test_a_share_is_told_in_the_unit_of_the_whole(done, total, text):
    assert text == format_share(done, total)


@pytest.mark.parametrize(("rate", "text"), [(0, ""), (0.4, ""), (4.3 * 2**20, "4.3 MiB/s")])
def test_a_rate_is_told_where_something_comes(rate, text):
    assert text == format_rate(rate)
