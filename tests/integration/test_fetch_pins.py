"""Pins on the real containerd: made, seen by who asks as the kubelet does, and taken away by who made them."""

import itertools
import json
import signal
from collections.abc import Iterator

import pytest
import trio

from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.containerd import ContainerdClient
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.pin_labels import PINNED, PINNED_VALUE, marks
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Ended, Start, fetch_arguments
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.containerd

NUMBERS = itertools.count()


class Node:
    """A containerd, a registry, and runs of instances on it. Images get names that no other test has."""

    def __init__(self, containerd: Containerd, registry: FakeRegistry, start: Start) -> None:
        self.containerd = containerd
        self.registry = registry
        self._start = start
        self._prefix = f"pins{next(NUMBERS)}"
        self._digests: set[str] = set()

    def serve(self, name: str, *, seed: str = "") -> tuple[str, str]:
        """Its name in full, and the image ID."""
        image = make_image((2048,), seed=f"{self._prefix} {name} {seed}")
        self._digests |= {image.id, image.digest}
        return self.registry.add(f"{self._prefix}/{name}", image), image.id

    def fetch(self, *images: str, instance: str = "one", pin: bool = True, **options: object) -> Ended:
        arguments = fetch_arguments(self.containerd, images, {"pin": pin or None, **options})
        return self._start(*arguments, environment={"INSTANCE_NAME": instance}).end()

    def unpin(self, *arguments: str, instance: str = "one") -> Ended:
        return self._start(
            "unpin",
            f"--cri-socket={self.containerd.socket}",
            *arguments,
            environment={"INSTANCE_NAME": instance},
        ).end()

    def pinned(self) -> set[str]:
        """IDs of those of this test that CRI reports as pinned."""
        return trio.run(self._pinned)

    async def _pinned(self) -> set[str]:
        async with open_channel(str(self.containerd.socket)) as channel:
            return {image.id for image in await CriImageService(channel).list_images() if image.pinned} & self._digests

    def labelled(self) -> set[str]:
        """Names of those records of images of this test that have a pin or a mark."""
        return trio.run(self._labelled)

    async def until_pinned(self, image_id: str) -> None:
        with trio.fail_after(PATIENCE):
            while image_id not in await self._pinned():  # noqa: ASYNC110 - another process does it
                await trio.sleep(0.02)

    async def _labelled(self) -> set[str]:
        async with open_channel(str(self.containerd.socket)) as channel:
            names = await ContainerdClient(channel).image_names()
        own = [one for one in names if one.digest in self._digests]
        return {one.name for one in own if marks(one.labels) or PINNED in one.labels}


def notices(ended: Ended, level: str) -> list[str]:
    return [line["msg"] for line in ended.log if line["level"] == level and line["msg"].startswith("--pin")]


@pytest.fixture
def node(containerd2: Containerd, fake_registry: FakeRegistry, start: Start) -> Iterator[Node]:
    made = Node(containerd2, fake_registry, start)
    yield made
    made.unpin("--all")


def test_what_is_pulled_is_pinned_and_stays_so(node: Node) -> None:
    a, a_id = node.serve("a:1")
    b, b_id = node.serve("b:1")

    first = node.fetch(a, b)
    assert (0, ["--pin: 2 pinned"]) == (first.code, notices(first, "INFO"))
    assert {a_id, b_id} == node.pinned()

    again = node.fetch(a, b)
    assert {a: "present", b: "present"} == again.outcomes
    assert [] == notices(again, "INFO")
    assert {a_id, b_id} == node.pinned()


def test_without_the_flag_nothing_is_pinned(node: Node) -> None:
    a, a_id = node.serve("a:1")

    node.fetch(a, pin=False)

    assert a_id not in node.pinned()
    assert a_id not in node.labelled()


def test_what_was_there_before_is_pinned(node: Node) -> None:
    a, a_id = node.serve("a:1")
    node.fetch(a, pin=False)

    node.fetch(a)

    assert {a_id} == node.pinned()


def test_pulling_the_same_again_keeps_the_pin(node: Node) -> None:
    a, a_id = node.serve("a:latest")

    for _ in range(2):
        assert {a: "succeeded"} == node.fetch(a).outcomes
        assert {a_id} == node.pinned()


def test_what_has_left_the_list_is_unpinned_and_stays(node: Node) -> None:
    a, a_id = node.serve("a:1")
    b, b_id = node.serve("b:1")
    node.fetch(a, b)

    ended = node.fetch(a)

    assert [f"--pin: unpinned {b}"] == notices(ended, "INFO")
    assert {a_id} == node.pinned()
    assert b_id not in node.labelled()
    assert {b: "present"} == node.fetch(b, pin=False).outcomes


def test_a_tag_that_moved_leaves_no_pin_behind(node: Node) -> None:
    a, old = node.serve("a:latest", seed="old")
    node.fetch(a)
    _, new = node.serve("a:latest", seed="new")

    node.fetch(a)

    assert {new} == node.pinned()
    assert old not in node.labelled()


def test_a_run_that_fails_keeps_the_pin_of_what_it_could_not_replace(node: Node) -> None:
    a, a_id = node.serve("a:latest")
    node.fetch(a)
    node.registry.fail("manifest", Fault.status(403), forever=True)

    assert 1 == node.fetch(a).code
    assert {a_id} == node.pinned()


def test_an_image_of_two_instances_is_unpinned_by_the_last(node: Node) -> None:
    a, a_id = node.serve("a:1")
    b, b_id = node.serve("b:1")
    node.fetch(a, instance="one")
    node.fetch(a, instance="two/ü")

    node.fetch(b, instance="one")
    assert {a_id, b_id} == node.pinned()

    node.fetch(b, instance="two/ü")
    assert {b_id} == node.pinned()


def test_a_pin_of_others_is_left_as_it_is(node: Node) -> None:
    """Also where it is not on the record that ours would be on."""
    a, a_id = node.serve("a:1")
    b, b_id = node.serve("b:1")
    node.fetch(a, b, pin=False)
    for name in (a, b_id):
        node.containerd.ctr("images", "label", name, f"{PINNED}={PINNED_VALUE}")

    node.fetch(a, b)
    c, _ = node.serve("c:1")
    node.fetch(c)
    node.unpin("--all")

    assert {a_id, b_id} == node.pinned()
    assert {a, b_id} == node.labelled()
    for name in (a, b_id):
        node.containerd.ctr("images", "label", name, f"{PINNED}=")


def test_a_run_that_is_killed_has_pinned_what_it_brought(node: Node, start: Start) -> None:
    a, a_id = node.serve("a:1")
    b, b_id = node.serve("b:1")
    node.registry.fail("layer", Fault.stall(), image=b.partition("/")[2], forever=True)
    program = start(*fetch_arguments(node.containerd, [a, b], {"pin": True}), environment={"INSTANCE_NAME": "one"})
    program.wait_for("image succeeded", image=a)
    trio.run(node.until_pinned, a_id)

    program.kill()

    assert {a_id} == node.pinned()
    node.registry.heal()
    node.fetch(b)
    assert {b_id} == node.pinned()


def test_a_run_that_is_stopped_pins_and_unpins_at_its_end(node: Node, start: Start) -> None:
    a, a_id = node.serve("a:1")
    b, _ = node.serve("b:1")
    c, _ = node.serve("c:1")
    node.fetch(c)
    node.registry.fail("layer", Fault.stall(), image=b.partition("/")[2], forever=True)
    program = start(*fetch_arguments(node.containerd, [a, b], {"pin": True}), environment={"INSTANCE_NAME": "one"})
    program.wait_for("image succeeded", image=a)

    program.send(signal.SIGTERM)

    assert 143 == program.end().code
    assert {a_id} == node.pinned()


def test_unpin_takes_those_of_its_instance(node: Node) -> None:
    a, a_id = node.serve("a:1")
    b, b_id = node.serve("b:1")
    node.fetch(a, b, instance="one")
    node.fetch(a, instance="two")

    ended = node.unpin("--output=json", instance="one")

    assert 0 == ended.code
    assert [
        {"image_id": a_id, "names": [a], "instances": ["one"], "still_pinned_by": ["two"]},
        {"image_id": b_id, "names": [b], "instances": ["one"], "still_pinned_by": []},
    ] == sorted(json.loads(ended.stdout), key=lambda one: str(one["names"]))
    assert {a_id} == node.pinned()

    table = node.unpin("--instance=two").stdout.splitlines()
    assert [["IMAGE", "INSTANCE", "NOW"], [a, "two", "not", "pinned"]] == [line.split() for line in table]
    assert set() == node.pinned()


def test_unpin_all_takes_those_of_all_instances(node: Node) -> None:
    a, _ = node.serve("a:1")
    node.fetch(a, instance="one")
    node.fetch(a, instance="two")
    node.fetch(a, instance="")

    (found,) = (one for one in json.loads(node.unpin("--all", "--output=json").stdout) if a in one["names"])

    assert ["", "one", "two"] == sorted(found["instances"])
    assert set() == node.pinned()
    assert set() == node.labelled()


def test_unpin_of_nothing_says_so_and_ends_well(node: Node) -> None:
    ended = node.unpin("--output=json")

    assert (0, "[]\n", "") == (ended.code, ended.stdout, ended.stderr)


def test_unpin_without_a_runtime_says_so(start: Start) -> None:
    ended = start("unpin", "--cri-socket=/nowhere/x.sock").end()

    assert (3, "") == (ended.code, ended.stdout)
    assert "no container runtime answered" in ended.stderr


@pytest.mark.parametrize("own_containerd", ["containerd2"], indirect=True)
def test_a_pin_outlives_containerd(own_containerd: Containerd, fake_registry: FakeRegistry, start: Start) -> None:
    node = Node(own_containerd, fake_registry, start)
    a, a_id = node.serve("a:1")
    b, _ = node.serve("b:1")
    node.fetch(a, b)
    own_containerd.kill()
    own_containerd.start()
    assert a_id in node.pinned()

    node.fetch(a)

    assert {a_id} == node.pinned()


def test_on_containerd_1_6_one_message_says_what_it_needs(
    containerd1: Containerd, fake_registry: FakeRegistry, start: Start
) -> None:
    """It keeps the label and does not report it: nothing of ours is left there."""
    node = Node(containerd1, fake_registry, start)
    a, _ = node.serve("a:1")
    b, _ = node.serve("b:1")

    ended = node.fetch(a, b)

    assert 0 == ended.code
    (message,) = notices(ended, "WARN")
    assert message.startswith(f"--pin disabled: containerd {containerd1.version}")
    assert message.endswith("(requires containerd 1.7 or later)")
    assert set() == node.pinned()
    assert set() == node.labelled()
