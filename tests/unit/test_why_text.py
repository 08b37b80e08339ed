"""The answer of `why`, as people read it: exact texts for cases that were injected."""

import pytest

from nodeprefetch.board import AttemptRecord
from nodeprefetch.cli.why_text import to_text
from nodeprefetch.cluster.advice import advice
from nodeprefetch.cluster.diagnosis import Evidence, diagnose
from nodeprefetch.cluster.image_facts import ImageFacts
from nodeprefetch.cluster.obstacles import Obstacle
from nodeprefetch.cluster.picture import NodePicture, NodeState
from nodeprefetch.cluster.pod_log import read_log

NOW = 1_767_225_600.0 + 3600
"""2026-01-01T01:00:00Z."""

APP, WEB = "registry.test/team/app:1", "registry.test/web:2"
NOT_FOUND = {"error": "manifest unknown", "error_class": "permanent", "reason": "not_found"}
TIMEOUT = {"error": "timed out after 30s", "error_class": "passing", "reason": "timeout"}


def attempt(number: int = 1, *, ago: float = 180, image: str = APP, **fields: object) -> AttemptRecord:
    known = {"started_at": NOW - ago, "duration": 1.25, "limit": 30.0, **fields}
    return AttemptRecord(node="n1", image=image, attempt=number, **known)  # type: ignore[arg-type]


def failed_node(**fields: object) -> NodePicture:
    known = {"state": NodeState.FAILED, "present": 2, "images": 3, "missing": (APP,), **fields}
    return NodePicture(node="n1", **known)  # type: ignore[arg-type]


def evidence(**fields: object) -> Evidence:
    known = {
        "namespace": "prefetch",
        "name": "my-images",
        "node": failed_node(why="1 of 3 images missing: registry.test/team/app:1: manifest unknown"),
        "source": "aggregator (through the API server)",
        "listed": (WEB, APP, "busybox"),
        **fields,
    }
    return Evidence(**known)  # type: ignore[arg-type]


def text_of(*found: Evidence, image: str | None = None) -> str:
    return to_text([diagnose(each, image=image, now=NOW) for each in found], now=NOW) + "\n"


def test_a_missing_image_with_its_attempts():
    """The second attempt has used another credential; errors are in full under their attempts."""
    found = evidence(
        images={APP: ImageFacts(state="failed", attempt=2, **NOT_FOUND)},
        attempts=(
            attempt(2, ago=120, credential="pull-secret my-secret registry.test", **NOT_FOUND),
            attempt(1, ago=185, **TIMEOUT, duration=30.0),
        ),
        obstacles=(Obstacle(text="pod my-images-x: container prefetch waits", advice="look at it"),),
    )

    assert f"""\
n1 is not warm for my-images in namespace prefetch: 1 of 3 images missing: registry.test/team/app:1: manifest unknown
from: aggregator (through the API server)

what is in the way:
  pod my-images-x: container prefetch waits

registry.test/team/app:1: failed (permanent/not_found)
  next: tried again when the kubelet restarts the container
  TIME                          DURATION  LIMIT  SIZE  CREDENTIAL                           RESULT
  2026-01-01T00:58:00Z  2m ago  1.2s      30s    -     pull-secret my-secret registry.test  permanent/not_found
    manifest unknown
  2026-01-01T00:56:55Z  3m ago  30s       30s    -     anonymous                            passing/timeout
    timed out after 30s

2 of 3 images are on the node

what to do:
  look at it
  {advice("permanent", "not_found")}
""" == text_of(found)  # fmt: skip


def test_a_warm_node_is_answered_in_a_sentence():
    found = evidence(node=failed_node(state=NodeState.WARM, present=3, missing=()))

    assert """\
n1 is warm for my-images in namespace prefetch: all 3 images are on the node
from: aggregator (through the API server)
""" == text_of(found)  # fmt: skip


def test_a_named_image_shows_its_attempts_even_if_it_is_on_the_node():
    found = evidence(
        node=failed_node(state=NodeState.WARM, present=3, missing=()),
        images={APP: ImageFacts(state="succeeded")},
        attempts=(attempt(size=3 << 20, duration=61.0),),
    )

    assert """\
n1 is warm for my-images in namespace prefetch: all 3 images are on the node
from: aggregator (through the API server)

registry.test/team/app:1: succeeded
  TIME                          DURATION  LIMIT  SIZE     CREDENTIAL  RESULT
  2026-01-01T00:57:00Z  3m ago  1m1s      30s    3.0 MiB  anonymous   pulled
""" == text_of(found, image=APP)  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (None, "the node has not reported this image yet"),
        (ImageFacts(state="waiting"), "waits for its turn"),
        (ImageFacts(state="waiting", **TIMEOUT), "waits for its next attempt"),
        (
            ImageFacts(state="waiting", next_attempt=NOW + 90, **TIMEOUT),
            "next attempt at 2026-01-01T01:01:30Z (in 90s)",
        ),
        (ImageFacts(state="waiting", next_attempt=NOW - 90), "next attempt at 2026-01-01T00:58:30Z (now)"),
        (ImageFacts(state="pulling"), "an attempt is in progress"),
        (
            ImageFacts(state="pulling", attempt=3, done_bytes=1, total_bytes=3),
            "attempt 3 is in progress, 33% of its bytes",
        ),
        (
            ImageFacts(state="pulling", attempt=3, done_bytes=3 * 2**20),
            "attempt 3 is in progress, 3.0 MiB so far",
        ),
        (ImageFacts(state="failed"), "keep tries it again after some minutes"),
        (ImageFacts(state="failed", next_attempt=NOW + 600), "next attempt at 2026-01-01T01:10:00Z (in 10m)"),
    ],
)
def test_what_happens_to_an_image_next(facts: ImageFacts | None, line: str):
    found = evidence(images={APP: facts} if facts else {}, restarts_alone=True)

    assert f"  next: {line}\n" in text_of(found)


def test_of_many_attempts_the_newest_are_shown_with_how_to_see_all():
    found = evidence(attempts=tuple(attempt(30 - number, ago=60 * number, **TIMEOUT) for number in range(23)))

    text = text_of(found)

    assert 10 == text.count("timed out after 30s")
    assert "  13 older attempts: nodeprefetch why n1 registry.test/team/app:1\n" in text
    assert 23 == text_of(found, image=APP).count("timed out after 30s")


def test_it_says_if_the_source_has_older_attempts_still():
    assert "\nolder attempts are not shown\n" in text_of(evidence(has_older_attempts=True))
    assert "older" not in text_of(evidence())


def test_the_error_of_the_latest_attempt_is_shown_while_the_state_has_none():
    (image,) = diagnose(evidence(attempts=(attempt(**TIMEOUT),)), now=NOW).images

    assert ("timed out after 30s", "passing", "timeout") == (image.error, image.error_class, image.reason)


def test_missing_images_come_in_the_order_of_the_list():
    node = failed_node(missing=("old:1", "busybox", WEB))

    assert [WEB, "busybox", "old:1"] == [each.image for each in diagnose(evidence(node=node), now=NOW).images]


def test_where_the_list_of_the_node_is_unknown_its_own_report_says_what_is_missing():
    found = evidence(
        node=failed_node(missing=None),
        images={WEB: ImageFacts(state="present"), APP: ImageFacts(state="failed", **NOT_FOUND)},
    )

    assert [APP] == [each.image for each in diagnose(found, now=NOW).images]


def test_without_an_aggregator_the_log_is_shown():
    log = read_log(
        'time=2026-01-01T00:59:00.000Z level=WARN msg="attempt failed" error="\\u001b[31m"\n'
        "nodeprefetch: https://me:hidden@registry.test/\n"
    )
    found = evidence(
        log=log, log_of="container prefetch of pod my-images-x", notes=("no aggregator",), source="node labels and pods"
    )

    assert """\
from: node labels and pods
note: no aggregator

registry.test/team/app:1: unknown
  next: the node has not reported this image yet

2 of 3 images are on the node

log of container prefetch of pod my-images-x, its last lines:
  time=2026-01-01T00:59:00.000Z level=WARN msg="attempt failed" error="\\u001b[31m"
  nodeprefetch: https://***@registry.test/
""" == text_of(found).partition("\n")[2]  # fmt: skip


def test_the_sentence_names_an_image_if_the_node_itself_has_not():
    node = failed_node(why="some images could not be pulled", missing=None)
    found = diagnose(evidence(node=node, images={APP: ImageFacts(state="failed", **NOT_FOUND)}), now=NOW)

    assert found.summary.endswith(f": some images could not be pulled: {APP}: manifest unknown")


def test_each_installation_has_a_section():
    other = evidence(name="other", node=failed_node(state=NodeState.WARM, images=1, missing=()))

    first, second = text_of(evidence(), other).split("\n\nn1 ")
    assert first.startswith("n1 is not warm for my-images in namespace prefetch: ")
    assert second.startswith("is warm for other in namespace prefetch: the only image is on the node\n")


def test_hostile_names_and_errors_are_printable_and_without_secrets():
    """Everything here comes from nodes, registries and pods."""
    evil = "evil\x1b[2J\u202e\n"
    image = f"registry.test/{evil}"
    hidden = f"{evil} https://me:hidden@r.test/?token=hidden Authorization: Bearer hidden1234hidden"
    found = evidence(
        namespace=evil,
        name=evil,
        source=evil,
        notes=(evil,),
        node=NodePicture(node=evil, state=NodeState.FAILED, why=hidden, missing=(image,), images=1),
        images={image: ImageFacts(state=evil, error=hidden, error_class=evil, reason=evil)},
        attempts=tuple(
            attempt(image=image, credential=hidden, error=hidden, error_class=evil, reason=evil) for _ in range(11)
        ),
        obstacles=(Obstacle(text=evil, advice=evil),),
        log=read_log(hidden),
        log_of=evil,
    )

    text = text_of(found)

    assert "hidden" not in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), float("nan"), 1e300])
def test_numbers_that_make_no_sense_are_unknown(wrong: float):
    found = evidence(attempts=(attempt(started_at=wrong, duration=wrong, limit=wrong),))

    assert "  unknown" in text_of(found)


def test_advice_is_given_once():
    both = {APP: ImageFacts(state="failed", **NOT_FOUND), WEB: ImageFacts(state="failed", **NOT_FOUND)}

    assert 1 == len(diagnose(evidence(node=failed_node(missing=(APP, WEB)), images=both), now=NOW).advice)
