"""Pulls that go on where they were: after cuts, after a crash of ours or of containerd, in the next run."""

import json
import signal
import time
from collections.abc import Iterator

import pytest
import trio

from nodeprefetch.events import AttemptFinished, Event
from nodeprefetch.pull.attempt import PullContext
from nodeprefetch.pull.image import Pull
from nodeprefetch.pull.leases import Leases
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.settings import FetchSettings, PullPolicy
from nodeprefetch.testing import FakeCredentialSource
from nodeprefetch.testing.images import Image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from nodeprefetch.testing.run import longest
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy
from tests.conftest import CONTAINERDS
from tests.integration.program import Ended, Start
from tests.integration.resuming import Node
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.containerd

MB = 1_000_000
LARGE = 64 * MB
RATE = 12 * MB
"""Bytes a second of downloads that are to be interrupted half-way."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both versions keep a pull's bytes, in ways of their own."""
    which = "own_containerd" if "own_containerd" in metafunc.fixturenames else "containerd"
    metafunc.parametrize(which, CONTAINERDS, indirect=True)


@pytest.fixture
def node(containerd: Containerd, fake_registry: FakeRegistry, start: Start) -> Iterator[Node]:
    made = Node(containerd, fake_registry, start)
    yield made
    made.delete_leases()


def reasons(ended: Ended) -> list[str]:
    return [line["reason"] for line in ended.lines("attempt failed")]


def assert_resumed(node: Node, name: str, image: Image) -> None:
    """It is there, next to nothing was fetched twice, and nothing is left."""
    assert image.id == node.held(name)[name][0]
    assert image.size <= node.bytes_served() <= 1.02 * image.size
    assert [] == node.leases()


def test_a_pull_that_stalls_goes_on_from_there(node: Node) -> None:
    name, image = node.serve("app:1", LARGE)
    node.fail("app:1", Fault.stall_after(LARGE * 6 // 10))

    ended = node.fetch(name, initial_pull_attempt_timeout="2s")

    assert (0, ["stalled"]) == (ended.code, reasons(ended))
    assert ["", "bytes="] == [asked[:6] for asked, _ in node.layer_requests(image)]
    assert_resumed(node, name, image)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_run_goes_on_where_one_was_ended(node: Node, how: signal.Signals) -> None:
    name, image = node.serve("app:1", LARGE)
    node.fail("app:1", Fault.slow(RATE))
    program = node.start(name)
    node.wait_for_bytes(image, LARGE / 2)
    program.send(how)
    program.end()
    assert 1 == len(node.leases())

    ended = node.fetch(name)

    assert (0, []) == (ended.code, reasons(ended))
    assert_resumed(node, name, image)


def test_a_pull_goes_on_after_containerd_was_killed(
    own_containerd: Containerd, fake_registry: FakeRegistry, start: Start
) -> None:
    node = Node(own_containerd, fake_registry, start)
    name, image = node.serve("app:1", LARGE)
    node.fail("app:1", Fault.slow(RATE))
    program = node.start(name)
    node.wait_for_bytes(image, LARGE / 2)

    own_containerd.kill()
    own_containerd.start()

    ended = program.end()
    assert (0, ["runtime_gone"]) == (ended.code, reasons(ended))
    assert_resumed(node, name, image)


def test_without_leases_nothing_is_kept_and_time_is_the_limit(node: Node) -> None:
    name, image = node.serve("app:1", 8 * MB)
    node.fail("app:1", Fault.stall_after(5 * MB), Fault.stall(), forever=True)

    program = node.start(name, initial_pull_attempt_timeout="1s", no_resume=True)
    program.wait_for("attempt failed", reason="timeout")
    assert [] == node.leases()
    program.kill()
    node.wait_until(lambda: image.layers[0].digest not in node.ingests())

    node.registry.heal()
    assert 0 == node.fetch(name, no_resume=True).code
    assert image.size + 5 * MB <= node.bytes_served()


def test_a_registry_that_ignores_ranges_is_read_from_the_beginning(containerd: Containerd, start: Start) -> None:
    with FakeRegistry(ranges=False) as registry:
        node = Node(containerd, registry, start)
        name, image = node.serve("app:1", 8 * MB)
        node.fail("app:1", Fault.stall_after(5 * MB))

        ended = node.fetch(name, initial_pull_attempt_timeout="1s")

        assert (0, ["stalled"]) == (ended.code, reasons(ended))
        assert image.id == node.held(name)[name][0]
        assert [] == node.leases()


@pytest.mark.parametrize("status", [416, 400, 403])
def test_a_pull_that_cannot_go_on_starts_over_at_once(node: Node, status: int) -> None:
    """A cache in front of the registry refuses every request for a part."""
    name, image = node.serve("app:1", 8 * MB)
    node.fail("app:1", Fault.no_range(status), forever=True)
    node.fail("app:1", Fault.stall_after(5 * MB))

    ended = node.fetch(name, initial_pull_attempt_timeout="2s")

    assert (0, ["stalled"]) == (ended.code, reasons(ended))
    assert image.id == node.held(name)[name][0]
    assert 2 == ended.result(name)["attempts"]
    (notice,) = [line for line in ended.log if "started over" in line["msg"]]
    assert str(status) in notice["msg"]
    asked = node.layer_requests(image)
    assert "" == asked[-1][0]
    assert image.layers[0].size == asked[-1][1]
    assert [] == node.leases()


@pytest.mark.parametrize("shared", [False, True])
def test_what_an_earlier_run_kept_is_dropped_where_it_cannot_be_continued(node: Node, shared: bool) -> None:  # noqa: FBT001 - pytest's
    name, image = node.serve("app:1", 8 * MB)
    others = [node.registry.add(f"{name.partition('/')[2].removesuffix('app:1')}other:1", image)] if shared else []
    node.registry.fail("layer", Fault.stall_after(5 * MB), Fault.stall_after(MB), forever=True)
    for one in (name, *others):
        node.fetch(one, instance=one, overall_timeout="2s")
    node.registry.heal()
    node.registry.fail("layer", Fault.no_range(), forever=True)
    assert 1 + len(others) == len(node.leases())

    ended = node.fetch(name, instance=name)

    assert (0, []) == (ended.code, reasons(ended))
    assert image.id == node.held(name)[name][0]
    assert 1 == ended.result(name)["attempts"]


def test_a_tag_that_moves_between_attempts_brings_the_new_image_and_leaves_nothing_of_the_old(node: Node) -> None:
    name, old = node.serve("app:1", 8 * MB, seed="old")
    node.fail("app:1", Fault.stall_after(5 * MB))
    program = node.start(name, initial_pull_attempt_timeout="2s")
    node.wait_for_bytes(old, 4 * MB)
    _, new = node.serve("app:1", 8 * MB, seed="new")

    ended = program.end()

    assert (0, ["stalled"]) == (ended.code, reasons(ended))
    assert new.id == node.held(name)[name][0]
    assert old.layers[0].digest not in node.ingests()
    assert [] == node.leases()


def test_an_image_that_comes_back_to_its_first_content_finds_what_is_there(node: Node) -> None:
    """The tag moves away in mid-pull, and back again: the first content's bytes are still kept."""
    name, first = node.serve("app:1", 8 * MB, seed="first")
    node.fail("app:1", Fault.stall_after(5 * MB))
    program = node.start(name, initial_pull_attempt_timeout="2s")
    node.wait_for_bytes(first, 4 * MB)
    node.serve("app:1", 8 * MB, seed="other")
    node.fail("app:1", Fault.stall_after(1 * MB))
    program.wait_for("pulling", attempt=2)
    node.registry.add(name.partition("/")[2], first)

    ended = program.end()

    assert 0 == ended.code
    assert first.id == node.held(name)[name][0]
    assert "bytes=" in node.layer_requests(first)[-1][0]


def test_a_lease_that_ends_in_mid_pull_costs_what_it_held_and_no_more(node: Node) -> None:
    """As when it expires, and something is collected."""
    name, image = node.serve("app:1", 8 * MB)
    node.fail("app:1", Fault.stall_after(5 * MB))
    program = node.start(name, initial_pull_attempt_timeout="20s")
    node.wait_for_bytes(image, 4 * MB)

    node.delete_leases()
    node.release(image)

    ended = program.end()
    assert (0, ["content_gone"]) == (ended.code, reasons(ended))
    assert image.id == node.held(name)[name][0]
    assert ["", ""] == [asked for asked, _ in node.layer_requests(image)]
    assert [] == node.leases()


def test_a_lease_that_is_gone_before_an_attempt_is_made_again_and_no_attempt_fails_for_it(node: Node) -> None:
    name, _ = node.serve("app:1", 8 * MB)
    node.fail("app:1", Fault.stall_after(5 * MB))
    delays = {"initial_pull_attempt_delay": "1s", "max_pull_attempt_delay": "1s"}
    program = node.start(name, initial_pull_attempt_timeout="1s", **delays)
    program.wait_for("attempt failed")

    node.delete_leases()

    ended = program.end()
    assert (0, ["stalled"]) == (ended.code, reasons(ended))
    assert 2 == ended.result(name)["attempts"]
    assert [] == node.leases()


def test_a_lease_that_expires_in_mid_pull_is_replaced(node: Node) -> None:
    """Its clock goes two hours behind: the first lease is over at once, and goes with the next thing that goes."""
    name, image = node.serve("app:1", 8 * MB)
    node.fail("app:1", Fault.stall_after(5 * MB))

    ends, used = trio.run(pull_with_a_slow_clock, node, name, image)

    assert ["content_gone", ""] == [end.reason for end in ends]
    assert 2 == len(used)
    assert image.id == node.held(name)[name][0]
    assert ["", ""] == [asked for asked, _ in node.layer_requests(image)]
    assert [] == node.leases()


async def pull_with_a_slow_clock(node: Node, name: str, image: Image) -> tuple[list[AttemptFinished], set[str]]:
    """How the attempts of a pull ended, whose clock is put right when its first lease has expired; and its leases."""
    behind, events, ends = 2 * 3600.0, list[Event](), trio.current_time() + 60
    async with trio.open_nursery() as around:
        runtime = await connect_to(str(node.containerd.socket), wait=5, warn=pytest.fail)(around)
        api = runtime.containerd
        assert api is not None
        leases = Leases(
            api,
            events.append,
            instance=node.instance,
            run="run",
            ends=lambda: ends,
            wall=lambda: time.time() - behind,
        )
        context = PullContext(
            service=runtime.service,
            inventory=None,
            credentials=FakeCredentialSource(),
            settings=FetchSettings(
                retry=RetryPolicy(initial_delay=0.5, max_delay=0.5),  # until containerd has collected
                unpack_timeout=60,
            ),
            jitter=longest,
            slots=trio.CapacityLimiter(1),
            gate=RuntimeGate(runtime.service, events.append),
            emit=events.append,
            progress=ProgressWatch(None, events.append),
            leases=leases,
        )
        pull = Pull(image=ImageRef.parse(name), policy=PullPolicy.ALWAYS)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as pulling:
                pulling.start_soon(pull.run, context)
                while image.layers[0].digest not in {one.ref.partition("-")[2] for one in await api.ingests()}:  # noqa: ASYNC110
                    await trio.sleep(0.02)
                used = {lease.id for lease in await api.leases() if lease.id in leases._known}
                await api.create_lease("something-that-goes", expires_at=time.time() + 60, labels={})
                await api.delete_lease("something-that-goes")
                behind = 0
                node.release(image)
        used |= set(leases._known)
        await leases.release(pull.image)
        around.cancel_scope.cancel()
    return [event for event in events if isinstance(event, AttemptFinished)], used


@pytest.mark.parametrize("other", ["the same", "another"])
def test_two_runs_at_once_fetch_an_image_once(node: Node, other: str) -> None:
    name, image = node.serve("app:1", 12 * MB)
    node.fail("app:1", Fault.slow(RATE))
    first = node.start(name)
    node.wait_for_bytes(image, 2 * MB)
    second = node.start(name, instance=node.instance if other == "the same" else other)

    assert [0, 0] == [first.end().code, second.end().code]
    assert_resumed(node, name, image)


def test_an_image_that_is_removed_while_it_is_pulled_anew_arrives(node: Node) -> None:
    name, old = node.serve("app:latest", 8 * MB, seed="old")
    node.fetch(name)
    _, new = node.serve("app:latest", 8 * MB, seed="new")
    node.fail("app:latest", Fault.stall_after(5 * MB))
    program = node.start(name, initial_pull_attempt_timeout="2s")
    node.wait_for_bytes(new, 4 * MB)

    node.remove(name)

    ended = program.end()
    assert (0, ["stalled"]) == (ended.code, reasons(ended))
    assert new.id == node.held(name)[name][0]
    assert old.id != new.id
    assert "bytes=" in node.layer_requests(new)[-1][0]
    assert [] == node.leases()


def test_afterwards_all_is_as_after_a_plain_pull(node: Node) -> None:
    tag, image = node.serve("app:1", MB, 2048)
    other, second = node.serve("other:1", MB)
    digest = f"{other.removesuffix(':1')}@{second.digest}"
    seen = []
    for options in ({"no_resume": True}, {}):
        node.fetch(tag, digest, **options)
        records = [line for line in node.containerd.ctr("images", "list").splitlines() if image.digest in line]
        blobs = [line.split()[0] for line in node.containerd.ctr("content", "list").splitlines()]
        seen.append((node.held(tag, digest), sorted(line.split()[0] for line in records), sorted(blobs)))
        node.remove(tag, digest)

    assert 2 == len(seen[0][0])
    assert seen[0] == seen[1]


def test_what_left_the_list_is_not_kept_any_more(node: Node) -> None:
    a, _ = node.serve("a:1", 4 * MB)
    b, _ = node.serve("b:1", 4 * MB)
    for name in ("a:1", "b:1"):
        node.fail(name, Fault.stall_after(3 * MB), Fault.stall(), forever=True)
    cut = {"overall_timeout": "2s"}
    node.fetch(a, b, **cut)
    assert [a, b] == sorted(lease.image for lease in node.leases())

    node.fetch(b, **cut)

    assert [b] == [lease.image for lease in node.leases()]
    node.registry.heal()
    node.fetch(b)
    assert [] == node.leases()


def test_an_instance_leaves_alone_what_others_keep(node: Node) -> None:
    a, image = node.serve("a:1", 4 * MB)
    b, _ = node.serve("b:1")
    node.fail("a:1", Fault.stall_after(3 * MB), Fault.stall(), forever=True)
    for number, instance in enumerate(("", node.instance)):
        program = node.start(a, instance=instance)
        node.wait_until(lambda number=number: len(node.leases()) > number)
        node.wait_for_bytes(image, 2 * MB)
        program.send(signal.SIGTERM)
        program.end()

    node.fetch(b, instance="")  # nobody's: it may be another one's run that is under way
    assert ["", node.instance] == sorted(lease.instance for lease in node.leases())
    node.fetch(b)
    assert [""] == [lease.instance for lease in node.leases()]


def test_leases_are_listed_and_deleted(node: Node) -> None:
    name, image = node.serve("app:1", 8 * MB)
    node.fail("app:1", Fault.stall_after(5 * MB), forever=True)
    node.fetch(name, overall_timeout="2s")
    (lease,) = node.leases()

    (found,) = json.loads(node.leases_command("--output=json").stdout)
    assert found == {
        "id": lease.id,
        "image": name,
        "instance": node.instance,
        "expires_at": lease.expires_at,
        "kept_bytes": found["kept_bytes"],
        "deleted": False,
    }
    assert 4 * MB < found["kept_bytes"] < 5.1 * MB
    header, row = node.leases_command().stdout.splitlines()
    assert ["IMAGE", "INSTANCE", "KEEPS", "EXPIRES"] == header.split()
    assert name in row
    assert name in node.leases_command("--all").stdout
    assert [] == json.loads(node.leases_command("--instance=other", "--output=json").stdout)

    (gone,) = json.loads(node.leases_command("--delete", "--output=json").stdout)

    assert {**found, "deleted": True} == gone
    assert [] == node.leases()
    assert image.layers[0].digest not in node.ingests()
