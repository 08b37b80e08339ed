"""Keys, values and texts of a node's label."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodeprefetch.errors import UsageError
from nodeprefetch.events import ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.report.label_key import check_prefix, fit, label_key, summary_key, summary_text
from nodeprefetch.report.run_result import RunResult
from nodeprefetch.settings import PullPolicy

VALID_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,61})?[A-Za-z0-9]")
"""As Kubernetes has it for the part behind the slash."""

names = st.one_of(
    st.text(),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P"])),
    st.text("ab.-_!", min_size=50, max_size=70),
    st.from_regex(r"[a-z]{0,3}_[0-9a-f]{10}", fullmatch=True),
    st.from_regex(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", fullmatch=True),
)


@pytest.mark.parametrize("name", ["my-images", "Team.A_b", "a", "7", "prefetcher", "v1_abc", 63 * "a"])
def test_a_name_that_needs_no_change_is_the_key_as_with_image_prefetcher(name):
    assert f"image-prefetcher.stackrox.io/{name}" == label_key("image-prefetcher.stackrox.io", name)


@pytest.mark.parametrize(
    ("name", "older"),
    [
        ("My Images!", "My-Images"),
        ("a/b//c", "a-b-c"),
        ("--x--", "x"),
        ("***", "prefetcher"),
        ("é", "prefetcher"),
        ("", "prefetcher"),
        (70 * "a", 52 * "a"),
        (62 * "a" + ".b", 52 * "a"),
        (51 * "a" + "." + 20 * "b", 51 * "a"),
        ("x_0123456789", "x_0123456789"),
        ("a\ud800", "a"),
    ],
)
def test_a_name_that_needs_a_change_begins_as_image_prefetchers_key_and_ends_with_a_hash(name, older):
    assert re.fullmatch(re.escape(older) + "_[0-9a-f]{10}", fit(name, 63))


def test_the_hash_is_always_the_same():
    """SHA-256 of `My Images!` begins with 13105e37bf: the key must not change from one version to the next."""
    assert "My-Images_13105e37bf" == fit("My Images!", 63)


@given(names)
@example("")
@example("-")
@example(63 * "é")
def test_every_name_becomes_a_valid_key(name):
    for key in (label_key("x.io", name), summary_key("x.io", name)):
        assert VALID_NAME.fullmatch(key.removeprefix("x.io/"))


@given(names, names)
@example("x", "--x--")
@example("prefetcher", "***")
@example("My Images!", fit("My Images!", 63))
@example(63 * "a", 64 * "a")
@example(56 * "a", 57 * "a")
@example(fit(60 * "a", 55), 60 * "a")
def test_different_names_have_different_keys(one, other):
    if one != other:
        assert label_key("x.io", one) != label_key("x.io", other)
        assert summary_key("x.io", one) != summary_key("x.io", other)


def test_the_annotation_is_called_like_the_label_as_long_as_that_fits():
    assert "x.io/" + 55 * "a" + ".summary" == summary_key("x.io", 55 * "a")
    assert re.fullmatch("x.io/a{44}_[0-9a-f]{10}.summary", summary_key("x.io", 56 * "a"))


@pytest.mark.parametrize(
    "prefix", ["nodeprefetch.io", "image-prefetcher.stackrox.io", "localhost", "1.example", "a" * 63]
)
def test_a_dns_subdomain_is_a_prefix(prefix):
    assert prefix == check_prefix(prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "A.io",
        "a..b",
        ".a",
        "a.",
        "-a.io",
        "a-.io",
        "a_b.io",
        "a/b",
        "é.io",
        "a.io\n",
        "a" * 64,
        ".".join(["a" * 63] * 4),
    ],
)
def test_anything_else_is_a_usage_error(prefix):
    with pytest.raises(UsageError, match=r"--node-label-prefix: .* must be a DNS subdomain"):
        check_prefix(prefix)


def finished(end: RunEnd = RunEnd.FINISHED, failed: int = 0) -> RunFinished:
    return RunFinished(run_id="r", end=end, succeeded=1, present=0, failed=failed, elapsed=1)


def image(name: str, outcome: Outcome, error: str = "") -> ImageFinished:
    return ImageFinished(
        image=name, outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1, error=error, error_class="passing"
    )


@pytest.mark.parametrize(
    ("run", "value"),
    [
        (finished(), "succeeded"),
        (finished(RunEnd.STOPPED), "succeeded"),
        (finished(failed=1), "failed"),
        (finished(RunEnd.TIMED_OUT, failed=1), "failed"),
        (None, "failed"),
    ],
)
def test_the_value_says_whether_every_image_is_present(run, value):
    result = RunResult()
    if run is not None:
        result.take(run)

    assert value == result.value


def test_the_summary_tells_counts_and_the_image_that_failed_first():
    result = RunResult()
    for each in (
        RunStarted(run_id="r", node="n1", version="1", runtime="c", socket="/s", images=("a:1", "b:1", "c:1", "d:1")),
        image("a:1", Outcome.SUCCEEDED),
        image("b:1", Outcome.PRESENT),
        image("c:1", Outcome.FAILED, "no\nway"),
        image("d:1", Outcome.FAILED, "cut"),
        finished(RunEnd.TIMED_OUT, failed=2),
    ):
        result.take(each)

    text = summary_text(result, at=1_700_000_000.75, version="1.2")

    assert (
        '{"result":"failed","end":"timed-out","images":4,"succeeded":1,"present":1,"failed":2,'
        '"time":"2023-11-14T22:13:20Z","version":"1.2",'
        '"first_failure":{"image":"c:1","error":"no way","error_class":"passing"}}'
    ) == text


def test_the_summary_of_a_run_that_never_pulled_says_so():
    text = summary_text(RunResult(), at=0, version="1")

    assert ("failed", "not-started") == (json.loads(text)["result"], json.loads(text)["end"])
    assert "first_failure" not in text


@given(st.text(), st.text())
@example("a" * 5000, "\ud800")
def test_the_summary_is_bounded_whatever_failed(name, error):
    result = RunResult()
    result.take(image(name, Outcome.FAILED, error))

    assert 8000 > len(summary_text(result, at=0, version="1").encode())
