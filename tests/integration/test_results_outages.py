"""An aggregator that is absent, killed or dead: pulls, label and exit code are untouched, and nothing is lost."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Ended, Program
from tests.integration.reported import (
    INSTANCE,
    NODE,
    ReportingNode,
    attempts_of,
    complaints,
    is_attempt,
    kept_attempts,
)
from tests.support.aggregator_program import AggregatorProgram
from tests.support.ports import free_port
from tests.support.proxy import FaultProxy, Passage

pytestmark = pytest.mark.containerd

GRACE = 10.0
"""Seconds for reporting where it is of no use."""

DEFAULT_GRACE = 15.0
"""That of --report-grace."""

IN_ORDER = 12.0
"""Seconds more in which a program has to end."""


def seconds_after(fetch: Program, message: str) -> tuple[float, Ended]:
    """How long it took from a line in the log to the end."""
    fetch.wait_for(message)
    then = time.monotonic()
    ended = fetch.end()
    return time.monotonic() - then, ended


def test_an_aggregator_that_comes_in_mid_run_gets_everything(
    node: ReportingNode, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    quick = fake_registry.add("late/quick:1", make_image(seed="late quick"))
    slow = fake_registry.add("late/slow:1", make_image(seed="late slow"))
    fake_registry.fail("layer", Fault.stall(), image="late/slow:1", forever=True)
    aggregator = AggregatorProgram(tmp_path)
    with aggregator:
        pass  # so that it has its ports
    fetch = node.start(quick, slow, metrics_endpoint=aggregator.endpoint)
    fetch.wait_for("image succeeded", image=quick)
    fetch.wait_until(lambda log: any("is unavailable, retrying" in line["msg"] for line in log), "a complaint")

    with aggregator:
        with aggregator.following() as messages:
            while aggregator.states(INSTANCE, NODE).get(quick) != "succeeded":
                next(messages)
        states = aggregator.states(INSTANCE, NODE)
        fake_registry.heal()
        ended = fetch.end()

    assert {quick: "succeeded", slow: "pulling"} == states
    assert (0, {quick: "succeeded", slow: "succeeded"}) == (ended.code, ended.outcomes)
    assert attempts_of(ended) == kept_attempts(aggregator)
    (complaint,) = complaints(ended)
    assert f"the aggregator at http://{aggregator.endpoint} is unavailable, retrying: " in complaint


def test_an_aggregator_killed_again_and_again_has_every_attempt_once(
    node: ReportingNode, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    good = [fake_registry.add(f"killed/app-{n}:1", make_image(seed=f"killed {n}")) for n in range(24)]
    missing = [f"{fake_registry.address}/killed/missing-{n}:1" for n in range(8)]
    last = fake_registry.add("killed/last:1", make_image(seed="killed last"))
    fake_registry.fail("layer", Fault.stall(), image="killed/last:1", forever=True)
    images = [image for four in zip(good[::3], good[1::3], good[2::3], missing, strict=True) for image in four]

    with AggregatorProgram(tmp_path) as aggregator:
        fetch = node.start(
            *images,
            last,
            metrics_endpoint=aggregator.endpoint,
            max_parallel_pulls=2,  # one of them is stalled
        )
        for count in (4, 12, 20):
            wait_for_attempts(fetch, count)
            aggregator.kill()
            wait_for_attempts(fetch, count + 4)
            aggregator.start()
        fetch.wait_for("pulling", image=last)
        aggregator.kill()
        fake_registry.heal()
        fetch.wait_for("run finished")
        aggregator.start()
        ended = fetch.end()

    assert 1 == ended.code
    expected = dict.fromkeys([*good, last], "succeeded") | dict.fromkeys(missing, "failed")
    assert expected == ended.outcomes
    attempts = attempts_of(ended)
    assert attempts.total() >= len(expected)
    assert attempts == kept_attempts(aggregator)
    assert "failed" == node.label
    with aggregator:
        assert expected == aggregator.states(INSTANCE, NODE)


def test_what_was_stored_but_not_acknowledged_is_stored_once(
    node: ReportingNode, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """It is sent again, to an aggregator that has been killed since and remembers by its database alone."""
    image = fake_registry.add("unheard/app:1", make_image(seed="unheard"))
    fake_registry.fail("layer", Fault.stall(), forever=True)
    with (
        AggregatorProgram(tmp_path) as aggregator,
        FaultProxy(("127.0.0.1", aggregator.grpc_port)) as proxy,
        aggregator.following() as messages,
    ):
        fetch = node.start(image, metrics_endpoint=proxy.address)
        wait_for_event(messages, "attempt_started")
        time.sleep(0.3)  # until that is acknowledged, which leaves no trace to wait for
        proxy.script(then=Passage.reset_after(1))  # answers are cut behind their first byte
        proxy.cut()
        fake_registry.heal()
        wait_for_event(messages, "attempt_finished")
        aggregator.kill()
        aggregator.start()
        proxy.script()
        ended = fetch.end()
        text = aggregator.ask("/metrics", accept="text/plain").body.decode()

    assert (0, {image: "succeeded"}) == (ended.code, ended.outcomes)
    assert attempts_of(ended) == kept_attempts(aggregator)
    assert re.search(r'^nodeprefetch_aggregator_duplicate_events_total{protocol="http"} [1-9]', text, re.MULTILINE)


def wait_for_event(messages: Iterator[dict[str, object]], name: str) -> None:
    assert any(message["event"] == name for message in messages)


def wait_for_attempts(fetch: Program, count: int) -> None:
    fetch.wait_until(lambda log: sum(map(is_attempt, log)) >= count, f"{count} attempts")


@pytest.fixture(params=["refuses connections", "says nothing", "has no name"])
def dead_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "has no name":
        yield "aggregator.invalid:8443"
    elif request.param == "says nothing":
        with FaultProxy(("127.0.0.1", 1), then=Passage.stall()) as proxy:
            yield proxy.address
    else:
        yield f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("code", [0, 1])
def test_a_dead_aggregator_costs_the_grace_and_a_word(
    node: ReportingNode, fake_registry: FakeRegistry, dead_endpoint: str, code: int
) -> None:
    images = [fake_registry.add("dead/app:1", make_image(seed=f"dead {dead_endpoint}"))]
    if code:
        images.append(f"{fake_registry.address}/dead/missing:1")
    fetch = node.start(
        *images,
        metrics_endpoint=dead_endpoint,
        report_grace=f"{GRACE}s",
    )

    seconds, ended = seconds_after(fetch, "run finished")

    assert code == ended.code
    assert seconds < GRACE + IN_ORDER
    assert ("failed" if code else "succeeded") == node.label
    *before, lost = complaints(ended)
    assert len(before) <= 1
    assert "did not acknowledge " in lost
    assert " results in time: " in lost
    for complaint in (*before, lost):
        assert dead_endpoint in complaint


def test_a_signal_with_a_dead_aggregator_still_ends_in_time(node: ReportingNode, fake_registry: FakeRegistry) -> None:
    stuck = fake_registry.add("dead-signal/app:1", make_image(seed="dead signal"))
    fake_registry.fail("layer", Fault.stall(), forever=True)
    with FaultProxy(("127.0.0.1", 1), then=Passage.stall()) as proxy:
        fetch = node.start(
            stuck,
            metrics_endpoint=proxy.address,
            report_grace=f"{GRACE}s",
        )
        fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
        fetch.send(signal.SIGTERM)
        seconds, ended = seconds_after(fetch, "run stopped")

    assert (143, {stuck: "failed"}) == (ended.code, ended.outcomes)
    assert seconds < GRACE + IN_ORDER
    assert "failed" == node.label


def test_without_grace_nothing_is_waited_for(node: ReportingNode, fake_registry: FakeRegistry) -> None:
    image = fake_registry.add("no-grace/app:1", make_image(seed="no grace"))
    with FaultProxy(("127.0.0.1", 1), then=Passage.stall()) as proxy:
        fetch = node.start(image, metrics_endpoint=proxy.address, report_grace="0s")
        seconds, ended = seconds_after(fetch, "run finished")

    assert (0, {image: "succeeded"}) == (ended.code, ended.outcomes)
    assert seconds < DEFAULT_GRACE
