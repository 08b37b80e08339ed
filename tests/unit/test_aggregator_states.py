"""How events change what is known of an image on a node."""

import msgspec

from nodeprefetch.aggregator.store.states import ImageState, changed, legacy_state, waiting
from nodeprefetch.events import AttemptStarted, Outcome
from tests.support.batches import attempt, ended


def started(at, *, is_present=False):
    return AttemptStarted(at=at, attempt_id="x", image="a:1", attempt=2, limit=30.0, is_present=is_present)


def state(**fields):
    return ImageState(**({"run": 5, "state": "pulling", "since": 100.0} | fields))


def test_a_run_that_begins_makes_its_images_wait():
    assert state(run=6, state="waiting", since=90.0) == waiting(state(), 6, 90.0)


def test_a_run_that_is_known_begins_once():
    assert waiting(state(), 5, 200.0) is None


def test_an_attempt_that_starts_is_a_pull():
    assert state(since=110.0, attempt=2) == changed(None, 5, started(110.0))


def test_an_attempt_that_failed_waits_for_the_next_and_keeps_its_error():
    after = changed(None, 5, attempt(error="no such image"))

    assert ("waiting", "no such image", "permanent", "not_found", 1.5) == (
        after.state,
        after.error,
        after.error_class,
        after.reason,
        after.duration,
    )


def test_an_attempt_that_succeeded_is_not_the_end():
    assert changed(None, 5, attempt()).state == Outcome.PULLING


def test_the_end_keeps_what_the_attempt_told():
    after = changed(changed(None, 5, attempt()), 5, ended())

    assert ("succeeded", 1.5, 1000, "sha256:1", "") == (
        after.state,
        after.duration,
        after.size,
        after.digest,
        after.error,
    )


def test_nothing_of_a_run_comes_after_an_images_end():
    final = state(state="failed")

    assert [None, None] == [changed(final, 5, started(500.0)), changed(final, 5, ended(at=500.0))]


def test_a_late_event_of_the_same_run_changes_nothing():
    assert changed(state(), 5, started(99.0)) is None


def test_the_end_counts_even_when_the_clock_was_set_back():
    assert changed(state(), 5, ended(at=1.0)).state == Outcome.SUCCEEDED


def test_an_older_run_changes_nothing_whatever_its_clock_says():
    assert changed(state(state="failed"), 4, ended(at=500.0)) is None


def test_a_newer_run_begins_anew_whatever_its_clock_says():
    after = changed(state(state="failed", error="x", digest="sha256:0"), 6, started(1.0))

    assert ImageState(run=6, state="pulling", since=1.0, attempt=2) == after


def test_a_result_of_the_older_tool_is_an_end():
    assert ["failed", "succeeded"] == [
        legacy_state(None, attempt(error="x")).state,
        legacy_state(state(since=99.0), attempt()).state,
    ]


def test_an_earlier_result_of_the_older_tool_changes_nothing():
    assert legacy_state(state(since=101.0), attempt(at=100.0)) is None


def test_states_are_final_as_outcomes_are():
    assert {str(outcome): outcome.is_final for outcome in Outcome} == {
        str(outcome): msgspec.structs.replace(state(), state=str(outcome)).is_final for outcome in Outcome
    }


def test_in_a_run_on_a_warm_node_an_image_stays_present_while_its_tag_is_refreshed():
    known = state(state="succeeded", duration=7.0, digest="sha256:0")

    assert waiting(known, 6, 200.0, is_warm=True) is None
    assert changed(known, 6, started(200.0, is_present=True)) is None
    refreshed = changed(known, 6, attempt())
    assert ("succeeded", 5, 1.5) == (refreshed.state, refreshed.run, refreshed.duration)
    after = changed(refreshed, 6, ended())
    assert (6, "succeeded", 1.5, "sha256:1") == (after.run, after.state, after.duration, after.digest)


def test_in_a_run_on_a_warm_node_an_image_that_is_gone_is_pulled():
    pulling = changed(state(state="present"), 6, started(1.0))

    assert (6, "pulling") == (pulling.run, pulling.state)
    assert "waiting" == changed(pulling, 6, attempt(error="no such image")).state


def test_in_a_run_on_a_warm_node_what_was_not_present_waits():
    assert "waiting" == waiting(state(state="failed"), 6, 200.0, is_warm=True).state
    assert "waiting" == waiting(None, 6, 200.0, is_warm=True).state
