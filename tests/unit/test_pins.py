"""Pins of a run of fetch: which images get one, whose it is, and when it goes. On virtual time."""

import math

import pytest
import trio

from nodeprefetch.events import Notice, Outcome, RunEnd
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.runtime.pin_labels import PINNED, marks
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import HANG, FakeContainerdApi, FakeImageService, FakeRun
from tests.support.pinning import PinningImageService

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
BROKEN = RuntimeFaultError("500", fault=Fault(kind=FaultClass.PERMANENT, reason="server_error"))


def run_on(service: FakeImageService, instance: str = "one", **settings: object) -> FakeRun:
    api = service.api if isinstance(service, PinningImageService) else None
    return FakeRun(service=service, settings=FetchSettings(pin=True, instance=instance, **settings), containerd=api)


async def fetch(service: FakeImageService, *images: str, instance: str = "one", **settings: object) -> FakeRun:
    run = run_on(service, instance, **settings)
    await run.fetch(*images)
    return run


def messages(run: FakeRun, *, warnings: bool = True) -> list[str]:
    return [notice.message for notice in run.told(Notice) if notice.is_warning == warnings]


async def test_what_is_pulled_is_pinned_on_the_record_of_its_id(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A]})

    run = await fetch(service, "a:1")

    assert {A} == service.pinned()
    assert {PINNED: "pinned", "nodeprefetch.io/pinned-by.one": "true"}.items() <= service.api.names[A].labels.items()
    assert "managed" == service.api.names[A].labels["io.cri-containerd.image"]
    assert ["--pin: 1 pinned"] == messages(run, warnings=False)
    assert [] == messages(run)


async def test_without_the_flag_nothing_is_pinned(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A]})

    await FakeRun(service=service, settings=FetchSettings(resume=False), containerd=service.api).fetch("a:1")

    assert set() == service.pinned()
    assert ["snapshotters", "read_blob"] == service.api.asked  # of the image that has come: is it unpacked?


async def test_what_is_present_is_pinned(autojump_clock):
    service = PinningImageService(images=[ImageRecord(id=A, repo_tags=("docker.io/library/a:1",))])

    await fetch(service, "a:1")

    assert {A} == service.pinned()
    assert [] == service.calls


async def test_an_image_is_pinned_while_others_are_pulled(autojump_clock):
    """So that a run that is killed keeps it."""
    service = PinningImageService(pulls={"a:1": [A], "b:1": [HANG]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_on(service).fetch, "a:1", "b:1")
        await trio.sleep(5)
        assert {A} == service.pinned()
        nursery.cancel_scope.cancel()


async def test_a_pin_that_is_there_is_not_written_again(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A], "b:1": [B]})
    await fetch(service, "a:1", "b:1")
    service.api.asked.clear()

    run = await fetch(service, "a:1", "b:1", resume=False)

    names = [asked for asked in service.api.asked if asked != "snapshotters"]
    assert ["image_names", "image_names"] == names  # once for all images, once for those that left
    assert [] == messages(run, warnings=False)


async def test_what_has_left_the_list_is_unpinned_by_the_next_run(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A], "b:1": [B]})
    await fetch(service, "a:1", "b:1")

    run = await fetch(service, "a:1")

    assert {A} == service.pinned()
    assert {"io.cri-containerd.image": "managed"} == service.api.names[B].labels
    assert ["--pin: unpinned docker.io/library/b:1"] == messages(run, warnings=False)


async def test_a_tag_that_moved_leaves_no_pin_behind(autojump_clock):
    service = PinningImageService(pulls={"a:latest": [A, B]})
    await fetch(service, "a:latest")

    run = await fetch(service, "a:latest")

    assert {B} == service.pinned()
    assert [f"--pin: 1 pinned; unpinned docker.io/library/a@{A}"] == messages(run, warnings=False)


async def test_a_run_that_fails_keeps_the_pin_of_what_it_could_not_replace(autojump_clock):
    service = PinningImageService(pulls={"a:latest": [A, BROKEN]})
    await fetch(service, "a:latest")

    report = await run_on(service).fetch("a:latest")

    assert 1 == report.count(Outcome.FAILED)
    assert {A} == service.pinned()


async def test_an_older_tag_stays_pinned_until_its_successor_is_there(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A], "a:2": [BROKEN, B], "b:1": [C]})
    await fetch(service, "a:1", "b:1")

    await fetch(service, "a:2")
    assert {A} == service.pinned()

    await fetch(service, "a:2")
    assert {B} == service.pinned()


async def test_a_run_that_is_cut_unpins_and_pins_at_its_end(autojump_clock):
    """b never comes; the overall timeout of 60 s ends the run, which took c from the list."""
    service = PinningImageService(pulls={"a:1": [A], "b:1": [HANG], "c:1": [C]})
    await fetch(service, "c:1")
    run = run_on(service, overall_timeout=60)

    report = await run.fetch("a:1", "b:1")

    assert RunEnd.TIMED_OUT is report.end
    assert {A} == service.pinned()
    assert 60 == trio.current_time()


async def test_an_image_that_two_instances_want_is_unpinned_by_the_last_one(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A], "b:1": [B]})
    await fetch(service, "a:1", instance="one")
    await fetch(service, "a:1", instance="two")
    assert ("nodeprefetch.io/pinned-by.one", "nodeprefetch.io/pinned-by.two") == marks(service.api.names[A].labels)

    await fetch(service, "b:1", instance="one")
    assert {A, B} == service.pinned()

    await fetch(service, "b:1", instance="two")
    assert {B} == service.pinned()


async def test_a_pin_of_others_is_neither_marked_nor_taken_away(autojump_clock):
    service = PinningImageService(images=[ImageRecord(id=A, repo_tags=("docker.io/library/a:1",))], pulls={"b:1": [B]})
    await service.api.label_image(A, {PINNED: "pinned"})

    await fetch(service, "a:1", "b:1")
    assert () == marks(service.api.names[A].labels)

    await fetch(service, "b:1")
    assert {A, B} == service.pinned()


async def test_an_image_that_was_removed_and_comes_again_is_pinned_again(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A]})
    await fetch(service, "a:1")
    await service.remove_image("a:1")
    assert {} == service.api.names

    await fetch(service, "a:1")

    assert {A} == service.pinned()


async def test_an_image_removed_under_us_is_no_trouble(autojump_clock):
    class Removed(PinningImageService):
        async def image_status(self, image: str) -> ImageRecord | None:
            return None

    service = Removed(pulls={"a:1": [A]})

    run = await fetch(service, "a:1")

    assert [] == messages(run)
    assert set() == service.pinned()


async def test_where_pins_do_nothing_one_message_says_so_and_no_label_is_left(autojump_clock):
    """containerd 1.6. It is asked 7 times, in 0.05 + 0.1 + … + 1.6 = 3.15 s, for one image alone."""
    service = PinningImageService(pulls={"a:1": [A], "b:1": [B]}, reports_pins=False, api=FakeContainerdApi())

    run = await fetch(service, "a:1", "b:1")

    (message,) = messages(run)
    assert message == (
        "--pin disabled: containerd 1.6.20~ds1 does not report pins to the kubelet (requires containerd 1.7 or later)"
    )
    assert [(), ()] == [marks(service.api.names[one].labels) for one in (A, B)]
    assert PINNED not in service.api.names[A].labels
    assert 3.15 == pytest.approx(trio.current_time())


async def test_another_runtime_gets_one_message(autojump_clock):
    run = await fetch(FakeImageService(pulls={"a:1": [A]}, name="cri-o"), "a:1")

    (message,) = messages(run)
    assert message == "--pin disabled: cri-o 0 does not support pinning images (requires containerd 1.7 or later)"


async def test_a_containerd_without_its_own_api_gets_one_message(autojump_clock):
    run = await fetch(FakeImageService(pulls={"a:1": [A]}, name="containerd"), "a:1")

    assert [
        "--pin disabled: containerd 0 does not answer on its own API (requires containerd 1.7 or later)"
    ] == messages(run)


async def test_an_image_that_is_kept_without_its_registry_stays_pinned(autojump_clock):
    service = PinningImageService(pulls={"a": [A, BROKEN]})
    await fetch(service, "a")

    run = await fetch(service, "a", keeps_present=True)

    assert Outcome.PRESENT is run.result("a").outcome
    assert {A} == service.pinned()


async def test_an_api_that_fails_does_not_fail_the_run_and_is_told_once(autojump_clock):
    service = PinningImageService(pulls={"a:1": [A], "b:1": [B]})
    service.api.gone = RuntimeFaultError.gone("connection refused")
    run = run_on(service)

    report = await run.fetch("a:1", "b:1")

    assert () == report.failed
    assert ["--pin: some pins could not be updated; will retry on the next run: connection refused"] == messages(run)


async def test_a_pin_that_failed_is_tried_again_at_the_end(autojump_clock):
    """The API is away when a comes at 0, and back when b comes: b hangs for the first limit of 30 s."""
    service = PinningImageService(pulls={"a:1": [A], "b:1": [HANG, B]})
    service.api.gone = RuntimeFaultError.gone("connection refused")
    run = run_on(service)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch, "a:1", "b:1")
        await trio.sleep(10)
        service.api.gone = None

    assert {A, B} == service.pinned()
    assert [] == messages(run)


async def test_an_api_that_hangs_is_not_waited_for_longer_than_its_limits(autojump_clock):
    """5 s for the image, 5 s at the end."""

    class Hanging(FakeContainerdApi):
        async def label_image(self, name, labels):
            await trio.sleep(math.inf)

    run = await fetch(PinningImageService(pulls={"a:1": [A]}, api=Hanging()), "a:1")

    assert ["--pin: some pins could not be updated; will retry on the next run: no answer in 5s"] == messages(run)
    assert 10 == trio.current_time()


async def test_an_image_without_a_record_of_its_id_is_told(autojump_clock):
    class Nameless(FakeContainerdApi):
        async def label_image(self, name, labels):
            return False

    run = await fetch(PinningImageService(pulls={"a:1": [A]}, api=Nameless()), "a:1")

    (message,) = messages(run)
    assert message.endswith(f"containerd has no record of the image ID {A}")


async def test_one_pin_that_is_not_reported_does_not_stop_the_others(autojump_clock):
    class Forgetful(PinningImageService):
        async def image_status(self, image: str) -> ImageRecord | None:
            found = await super().image_status(image)
            return ImageRecord(id=B) if found and found.id == B else found

    service = Forgetful(pulls={"a:1": [A], "b:1": [B], "c:1": [C]})

    run = await fetch(service, "a:1", "b:1", "c:1", max_parallel_pulls=1)

    assert {A, C} <= service.pinned()
    (message,) = messages(run)
    assert message.endswith(f"containerd does not report {B} as pinned")
