"""Errors that nobody recognizes are shown once for each shape of text, without what is someone's own in it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.events import AttemptFinished, Notice
from nodeprefetch.report.unrecognized import MOST_SHAPES, UnrecognizedErrors, shape_of

DIGEST = "sha256:" + "0123456789abcdef" * 4


def failed(error, *, image="registry.example.com/team/app:1.2", reason="unknown"):
    return AttemptFinished(
        attempt_id="a", image=image, attempt=1, started_at=0, duration=1, limit=30, error=error, reason=reason
    )


def heard(*events):
    notices = []
    reader = UnrecognizedErrors(notices.append)
    for event in events:
        reader.hear(event)
    return notices


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (
            f'failed to copy: gremlins in "layer-{DIGEST}" after 1.5 s: 3 of 17 lost',
            "failed to copy: gremlins in <quoted> after <number> s: <number> of <number> lost",
        ),
        (f"blob {DIGEST} is sad", "blob <digest> is sad"),
        ("GET https://registry.example.com/v2/team/app/blobs/x: moon", "GET <url> moon"),
        ("registry.example.com/team/app:1.2: full moon", "<image>: full moon"),
        ("pull of registry.example.com/team/app by mirror.example.org:5000", "pull of <name> by <name>"),
        (
            "no luck with app, nor with 10.0.0.7:443 or [fd00::1]:443",
            "no luck with <image>, nor with <address> or <address>",
        ),
        ("cannot use /var/lib/runtime/7/x: gremlins", "cannot use <path>: gremlins"),
        ("lease 0123abcd-45ef-67ab has gremlins", "lease <id> has gremlins"),
        ("happy: gremlins", "happy: gremlins"),
    ],
)
def test_a_shape_has_no_names_numbers_and_digests(text, shape):
    assert shape == shape_of(text, "registry.example.com/team/app:1.2")


@given(st.text(max_size=200), st.text(max_size=30))
def test_a_shape_has_no_digits(text, image):
    assert not re.search(r"\d", shape_of(text, image))


def test_a_shape_is_told_once_and_says_where_to_report_it():
    (notice,) = heard(failed("gremlins: 7"), failed("gremlins: 8", image="b:1"), failed("x", reason="timeout"))

    assert (
        'unrecognized error, please report it (docs/troubleshooting.md, section "Report an unrecognized error"): '
        "gremlins: <number>"
    ) == notice.message
    assert isinstance(notice, Notice)


def test_each_shape_is_told_up_to_a_bound():
    words = [chr(ord("a") + number) * 3 for number in range(26)]

    assert MOST_SHAPES == len(heard(*(failed(f"gremlins {word}") for word in words)))
