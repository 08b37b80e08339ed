"""Prometheus' own tool finds nothing to say about the exposition."""

import msgspec

from nodeprefetch.events import Outcome, RunEnd, RunFinished, TagMoved
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of, begun, ended
from tests.support.promtool import promtool


def test_promtool_accepts_it_and_has_no_advice():
    end = RunFinished(run_id="run-1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=1, elapsed=3.0)
    batch = batch_of(
        begun("a:1", 'q"\\\n:1'),
        attempt("a:1"),
        attempt('q"\\\n:1', error="no"),
        TagMoved(image="a:1", before="sha256:0", after="sha256:1"),
        ended("a:1"),
        ended('q"\\\n:1', Outcome.FAILED),
        end,
    )

    with running_aggregator(on_any_port()) as running:
        running.ask("POST", "/v1/events", msgspec.msgpack.encode(batch), {"content-type": "application/msgpack"})
        text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body

    done = promtool("check", "metrics", text=text)
    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)
    assert b"nodeprefetch_attempts_total" in text
    assert b'nodeprefetch_tags_moved_total{image="a:1"} 1.0' in text
