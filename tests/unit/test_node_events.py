"""Which events about the node are created, and what they say. On virtual time."""

import pytest
import trio

from nodeprefetch.events import AttemptStarted, GateOpened, ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.kube import ForbiddenError, NodeEvent, ServerFailedError
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_events import MESSAGE_LIMIT, NodeEvents, event_name
from nodeprefetch.settings import PullPolicy
from tests.support.fake_nodes import HANG, FakeNodes

MIB = 1 << 20


class Reporting:
    """Runs on one node, and what they said."""

    def __init__(self) -> None:
        self.nodes = FakeNodes()
        self.complaints: list[str] = []
        self.remarks: list[str] = []

    def run(self, *, is_warm: bool = False, instance: str = "web") -> NodeEvents:
        api = NodeApi(
            "n1",
            connect=self.nodes.connect,
            warn=self.complaints.append,
            inform=self.remarks.append,
            jitter=lambda: 1,
        )
        return NodeEvents(api, instance, is_warm=is_warm, clock=lambda: 1_700_000_000)

    def messages(self) -> list[str]:
        return [each.message for each in self.nodes.events]


def start(events: NodeEvents, *images: str) -> None:
    events.emit(RunStarted(run_id="r", node="n1", version="1", runtime="containerd 2", socket="/s", images=images))


def image(events: NodeEvents, name: str, outcome: Outcome, *, was_missing: bool = True, **more: object) -> None:
    if outcome is not Outcome.PRESENT:
        events.emit(AttemptStarted(attempt_id="x", image=name, attempt=1, limit=30, is_present=not was_missing))
    events.emit(ImageFinished(image=name, outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1, **more))


async def end(events: NodeEvents, end: RunEnd = RunEnd.FINISHED, *, failed: int = 0, run_id: str = "r") -> None:
    events.emit(RunFinished(run_id=run_id, end=end, succeeded=1, present=0, failed=failed, elapsed=41.26))
    await events.finish()


async def test_a_run_that_pulled_everything_says_how_much_and_how_long(autojump_clock):
    reporting = Reporting()
    events = reporting.run()
    start(events, "a:1", "b:1", "c:1", "d:1")
    image(events, "a:1", Outcome.SUCCEEDED, size=3 * MIB)
    image(events, "b:1", Outcome.SUCCEEDED, size=MIB)
    image(events, "c:1", Outcome.PRESENT)
    image(events, "d:1", Outcome.SUCCEEDED, size=MIB, was_missing=False)
    await end(events)

    assert [
        NodeEvent(
            name=event_name("n1", "web", "ImagesPrefetched", "r"),
            node="n1",
            type="Normal",
            reason="ImagesPrefetched",
            message="web: pulled 2 images (4.0 MiB) in 41.3s; 4 images present",
            time="2023-11-14T22:13:20Z",
            reporter="web",
        )
    ] == reporting.nodes.events
    assert ([], []) == (reporting.complaints, reporting.remarks)


async def test_a_run_that_lacks_images_names_them_with_their_classes(autojump_clock):
    reporting = Reporting()
    events = reporting.run()
    start(events, "a:1", "b:1", "c:1")
    image(events, "a:1", Outcome.SUCCEEDED)
    image(events, "b:1", Outcome.FAILED, error="no such image", error_class="permanent", reason="not_found")
    image(events, "c:1", Outcome.FAILED, error="cancelled: overall timeout", error_class="cancelled")
    await end(events, RunEnd.TIMED_OUT, failed=2)

    (event,) = reporting.nodes.events
    assert ("Warning", "ImagePrefetchFailed") == (event.type, event.reason)
    assert (
        "web: 2 of 3 images missing (run timed-out): b:1 (permanent, not_found): no such image;"
        " c:1 (cancelled): cancelled: overall timeout"
    ) == event.message


async def test_a_message_is_as_long_as_the_api_server_accepts(autojump_clock):
    reporting = Reporting()
    events = reporting.run()
    for number in range(50):
        image(events, f"{number}{'a' * 300}", Outcome.FAILED, error="é" * 100)
    await end(events, failed=50)

    assert [MESSAGE_LIMIT] == [len(text) for text in reporting.messages()]


@pytest.mark.parametrize("is_warm", [True, False])
async def test_a_run_that_pulled_nothing_creates_none(autojump_clock, is_warm):
    reporting = Reporting()
    events = reporting.run(is_warm=is_warm)
    start(events, "a:1", "b:1")
    image(events, "a:1", Outcome.PRESENT)
    image(events, "b:1", Outcome.SUCCEEDED, was_missing=False)
    await end(events)

    assert [] == reporting.nodes.calls


async def test_a_lost_image_that_was_pulled_again_is_told_on_a_warm_node_too(autojump_clock):
    reporting = Reporting()
    events = reporting.run(is_warm=True)
    start(events, "a:1")
    image(events, "a:1", Outcome.SUCCEEDED)
    await end(events)

    assert ["web: pulled 1 image in 41.3s; 1 image present"] == reporting.messages()


async def test_a_run_that_was_stopped_creates_none(autojump_clock):
    reporting = Reporting()
    events = reporting.run()
    image(events, "a:1", Outcome.FAILED, error="cancelled by SIGTERM", error_class="cancelled")
    await end(events, RunEnd.STOPPED, failed=1)

    assert [] == reporting.nodes.calls


async def _fail(reporting: Reporting, *images: str, instance: str = "web", error: str = "stalled at 1.0 MiB") -> None:
    events = reporting.run(instance=instance)
    for name in images:
        image(events, name, Outcome.FAILED, error=error, error_class="passing", reason="stalled")
    await end(events, failed=len(images))


async def test_the_same_failure_is_told_once_while_its_event_exists(autojump_clock):
    """Whatever its text says of the moment."""
    reporting = Reporting()
    await _fail(reporting, "a:1", "b:1")
    await _fail(reporting, "b:1", "a:1", error="stalled at 7.0 MiB")

    assert 1 == len(reporting.nodes.events)
    assert ([], []) == (reporting.complaints, reporting.remarks)


@pytest.mark.parametrize(
    ("images", "instance"), [(["a:1", "b:1"], "web"), (["b:1"], "web"), (["a:1"], "other")], ids=str
)
async def test_another_failure_is_told(autojump_clock, images, instance):
    reporting = Reporting()
    await _fail(reporting, "a:1")
    await _fail(reporting, *images, instance=instance)

    assert 2 == len(reporting.nodes.events)


def test_the_name_of_an_event_is_valid_also_for_the_longest_name_of_a_node():
    node = ".".join(["a" * 63] * 4)[:253]

    assert 253 == len(event_name(node, "web"))
    assert event_name("n1", "ab", "c") != event_name("n1", "a", "bc")


async def test_without_the_right_there_is_one_line_that_asks_for_nothing(autojump_clock):
    reporting = Reporting()
    reporting.nodes.on_create = [ForbiddenError('403: User "u" cannot create resource "events"')]
    await _fail(reporting, "a:1")

    assert [] == reporting.complaints
    (line,) = reporting.remarks
    assert line.startswith(
        'cannot create node event: 403: User "u" cannot create resource "events" (missing permission'
    )
    assert line.endswith("check: kubectl auth can-i create events --as=u; --no-events disables events)")


async def test_what_passes_is_tried_again_until_the_time_is_over(autojump_clock):
    """After the first pause of 0.25 s; then it hangs."""
    reporting = Reporting()
    reporting.nodes.on_create = [ServerFailedError("503"), HANG]

    with trio.move_on_after(3):
        await _fail(reporting, "a:1")

    assert [0, 0.25] == reporting.nodes.times("create")
    assert (["cannot create node event: no time left: 503"], []) == (reporting.remarks, reporting.complaints)


async def test_a_gate_that_gives_up_is_told_at_once_and_once_for_the_same_images(autojump_clock):
    reporting = Reporting()
    opened = GateOpened(after=900, gave_up=True, missing=("a:1", "b:1"), missing_count=3)
    for _ in range(2):
        events = reporting.run()
        start(events, "a:1", "b:1", "c:1")
        events.emit(opened)
        with trio.move_on_after(1):
            await events.run()
        image(events, "a:1", Outcome.FAILED, error="not found", error_class="permanent")
        at_once = reporting.messages()
        await end(events, failed=1)

    assert ["web: takes pods without all images after 15m; 3 images missing: a:1, b:1, …"] == at_once[:1]
    assert ["ImagePrefetchGaveUp", "ImagePrefetchFailed"] == [each.reason for each in reporting.nodes.events]
    assert 4 == len(reporting.nodes.times("create"))


async def test_a_gate_that_gives_up_at_the_end_is_told_then(autojump_clock):
    """Though the run was stopped; and without a runtime nobody knows what is missing."""
    reporting = Reporting()
    events = reporting.run()
    events.emit(GateOpened(after=900, gave_up=True))
    await end(events, RunEnd.STOPPED, failed=1)

    assert ["web: takes pods without all images after 15m; no container runtime answered"] == reporting.messages()


async def test_a_gate_that_opens_for_its_images_is_no_event(autojump_clock):
    reporting = Reporting()
    events = reporting.run()
    events.emit(GateOpened(after=12))
    image(events, "a:1", Outcome.PRESENT)
    await end(events)

    assert [] == reporting.nodes.calls
