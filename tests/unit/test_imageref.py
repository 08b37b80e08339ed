"""Image names: the reference grammar, normalization, and messages about invalid names."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef, ImageRefError, quote

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "reference-cases.json").read_text("utf-8")
)
GOOD = [case for case in CASES if "error" not in case]
BAD = [case for case in CASES if "error" in case]
DIGEST = "sha256:" + "ab" * 32
PART_RULE = "must be lower-case letters and digits, separated by one dot, one or two underscores, or dashes"

names = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        ["org/", "docker.io/", "index.docker.io/", "quay.io/", "REG/", "a.b:5/", "localhost/", "[::1]:80/"]
    ),
    st.from_regex(r"[a-z0-9]{1,4}((__|-{1,3}|\.|_|/)[a-z0-9]{1,4}){0,4}", fullmatch=True),
    st.sampled_from(["", ":1", ":Tag_1.x-y", "@" + DIGEST, ":1@" + DIGEST, "@sha512:" + "0" * 128]),
)


@pytest.mark.parametrize("case", GOOD, ids=[case["input"] for case in GOOD])
def test_a_name_is_taken_apart_as_docker_does(case: dict[str, Any]) -> None:
    ref = ImageRef.parse(case["input"])

    assert case["input"] == ref.text
    assert (case["domain"], case["path"]) == (ref.domain, ref.path)
    assert (case.get("tag"), case.get("digest")) == (ref.tag, ref.digest)
    assert case["normalized"] == ref.normalized
    assert case["pull_ref"] == ref.pull_ref


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a_b.example/app:1", "a_b.example/app"),
        ("a__b.example/team/app", "a__b.example/team/app"),
        ("r_1.x/" + "a" * 249, "r_1.x/" + "a" * 249),
        ("a_b/app", "docker.io/a_b/app"),
        ("a_b.example", "docker.io/library/a_b.example"),
    ],
)
def test_a_host_may_have_an_underscore_where_the_reference_parser_takes_it(text: str, name: str) -> None:
    """distribution/reference 0.6.0 takes such a host for part of the repository: no port, no upper case."""
    assert name == ImageRef.parse(text).lookup_name


@pytest.mark.parametrize(
    "text", ["a_b.example:5000/app", "A_b.example/app", "a_.example/app", "a_b./app", "r_1.x/" + "a" * 250]
)
def test_a_host_with_an_underscore_is_refused_where_the_reference_parser_refuses_it(text: str) -> None:
    with pytest.raises(ImageRefError):
        ImageRef.parse(text)


@pytest.mark.parametrize("case", BAD, ids=[case["input"] or "empty" for case in BAD])
def test_a_bad_name_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ImageRefError):
        ImageRef.parse(case["input"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the name is empty"),
        ("quay.io/a b", "must not contain whitespace"),
        ("nginx\t", "must not contain whitespace"),
        ("https://quay.io/a", 'must not begin with "https://"'),
        ("docker://a", 'must not begin with "docker://"'),
        ("a" * 64, "64 hex digits are an image ID, not a name (write repository@sha256:…)"),
        ("quay.io/A", 'the repository "A" must be lower-case'),
        ("Nginx", 'the repository "Nginx" must be lower-case'),
        ("quay.io/a:", "the tag is empty"),
        ("a:" + "t" * 129, "the tag is too long: 129 characters (maximum 128)"),
        ("a:-t", 'invalid tag "-t": must contain only letters, digits, _ . - and not begin with . or -'),
        ("a:b:c", 'invalid tag "b:c": must contain only letters, digits, _ . - and not begin with . or -'),
        ("a:ü", 'invalid tag "ü": must contain only letters, digits, _ . - and not begin with . or -'),
        ("a@sha256:12", "invalid sha256 digest: must be 64 lower-case hex digits, not 2"),
        ("a@sha256:" + "A" * 64, "invalid sha256 digest: must be 64 lower-case hex digits"),
        (
            "a@md5:12",
            "invalid digest after @: must be ALGORITHM:DIGITS, where ALGORITHM is one of sha256, sha384, sha512",
        ),
        ("a@", "invalid digest after @: must be ALGORITHM:DIGITS, where ALGORITHM is one of sha256, sha384, sha512"),
        ("quay.io//a", "the repository contains an empty part"),
        ("quay.io/a/", "the repository contains an empty part"),
        ("quay.io/", "the repository contains an empty part"),
        ("quay.io/a..b", f'the repository contains an invalid part "a..b": {PART_RULE}'),
        (
            "q_.io/a",
            '"q_.io" is not a valid registry: must be HOST or HOST:PORT, with letters, digits, dots and dashes',
        ),
        (
            "quay.io:x/a",
            '"quay.io:x" is not a valid registry: must be HOST or HOST:PORT, with letters, digits, dots and dashes',
        ),
        ("quay.io/" + "a" * 256, "the repository is too long: 256 characters (maximum 255)"),
    ],
)
def test_the_message_says_which_rule_is_broken(text: str, reason: str) -> None:
    with pytest.raises(ImageRefError) as caught:
        ImageRef.parse(text)

    assert reason == caught.value.reason
    assert f"{quote(text)}: {reason}" == str(caught.value)


def test_a_bad_name_is_a_usage_error_and_a_value_error() -> None:
    with pytest.raises(UsageError) as caught:
        ImageRef.parse("A")

    assert isinstance(caught.value, ValueError)
    assert ('"A": the repository "A" must be lower-case',) == caught.value.problems
    assert "A" == caught.value.text


@pytest.mark.parametrize(
    "text",
    ["a:" + "t" * 128, "quay.io/" + "a" * 255, "[::1]:5000/a", "[fe80::1]/a", "a@sha384:" + "0" * 96, "x/a__b--c.d_e"],
)
def test_what_the_rules_just_allow_is_a_name(text: str) -> None:
    assert text == ImageRef.parse(text).text


def test_credentials_are_looked_up_without_tag_and_digest() -> None:
    ref = ImageRef.parse(f"index.docker.io/nginx:1@{DIGEST}")

    assert "docker.io/library/nginx" == ref.lookup_name
    assert "docker.io" == ref.registry


@given(names)
def test_the_normalized_name_is_normal(text: str) -> None:
    ref = ImageRef.parse(text)
    again = ImageRef.parse(ref.normalized)

    assert ref.normalized == again.normalized
    assert (ref.domain, ref.path, ref.digest) == (again.domain, again.path, again.digest)
    assert ref.pull_ref == ImageRef.parse(ref.pull_ref).pull_ref
    assert ref.pull_ref == again.pull_ref


@given(st.one_of(st.text(), st.text(alphabet="aA0./:@-_[]é\x00 sha256"), names.map(lambda name: name[1:] + ":")))
@example("\ud800")
def test_arbitrary_text_is_a_name_or_our_error(text: str) -> None:
    try:
        shown = ImageRef.parse(text).text
    except ImageRefError as error:
        shown = error.text

    assert text == shown


@pytest.mark.parametrize("piece", ["a", "a-", "a.", "a/", "A", "-", ":", "@", "__", "[", "a:"])
def test_a_long_name_takes_no_time(piece: str) -> None:
    begun = time.process_time()

    for text in (piece * 40_000 + "!", f"q.io/{piece * 40_000}!", f"{piece * 40_000}!.io/a", "a:" + piece * 40_000):
        with pytest.raises(ImageRefError):
            ImageRef.parse(text)

    assert time.process_time() - begun < 1.2  # of CPU; linear: 0.03 s; quadratic: minutes


def test_what_is_quoted_is_short_and_visible() -> None:
    assert '"a\\x00\\u202eb"' == quote("a\0\u202eb")
    assert '"' + "x" * 120 + '"' == quote("x" * 120)
    assert '"' + "x" * 120 + '…"' == quote("x" * 1000)
