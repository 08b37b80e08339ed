"""What of a program's stderr reaches the log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodeprefetch_kubelet.stderr import MAX_KEPT, Tail, readable

SECRET = "Pass-w0rd/of=mine"


def tail_of(*chunks: bytes) -> bytes:
    tail = Tail()
    for chunk in chunks:
        tail.add(chunk)
    return tail.data


def test_what_is_short_is_kept_whole() -> None:
    assert b"half a line" == tail_of(b"half a ", b"line")


def test_of_what_is_long_the_end_is_kept_from_a_whole_word_on() -> None:
    """Half of a secret would not be known as one."""
    kept = tail_of(b"x" * MAX_KEPT, b"secret and the end")

    assert b"and the end" == kept


def test_one_endless_word_is_not_shown() -> None:
    assert b"" == tail_of(b"x" * MAX_KEPT, b"y" * MAX_KEPT)


@given(st.lists(st.binary(max_size=MAX_KEPT), max_size=4))
def test_no_more_is_kept_than_the_limit(chunks: list[bytes]) -> None:
    assert len(tail_of(*chunks)) <= MAX_KEPT


@pytest.mark.parametrize(
    ("stderr", "stdout", "expected"),
    [
        ("boom\nat line 1\n", "", "boom | at line 1"),
        (f"got {SECRET}", json.dumps({"auth": {"x": {"password": SECRET}}}), "got ***"),
        (f"got '{SECRET}'", f"user {SECRET}", "got '***'"),
        ("key=0123456789abc", "0123456789abc is all I have", "key=***"),
        ("p@ss", json.dumps({"auth": {"x": {"password": "p@ss"}}}), "***"),
        ("no access for user", "access", "no access for user"),
        ("sends t0ken-of-sa", "", "sends ***"),
        ("sends key-in-env", "", "sends ***"),
        ("reads /var/run/token", "", "reads /var/run/token"),
        ("profile default-profile", "", "profile default-profile"),
        ("Authorization: Bearer abcdefgh", "", "Authorization: Bearer ***"),
        ("\x1b[31mred\xff", "", "\\x1b[31mredÿ"),
    ],
)
def test_what_is_shown_has_no_secret(stderr: str, stdout: str, expected: str) -> None:
    env = {
        "AWS_SECRET_ACCESS_KEY": "key-in-env",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
        "AWS_PROFILE": "default-profile",
    }

    assert expected == readable(stderr.encode(), stdout=stdout.encode(), env=env, token="t0ken-of-sa")


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_become_one_line(stderr: bytes, stdout: bytes) -> None:
    assert 1 >= len(readable(stderr, stdout=stdout, env={}, token=None).splitlines())
