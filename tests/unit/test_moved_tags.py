"""A pull that finds that a tag has moved says so, once."""

import pytest

from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome, TagMoved
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.settings import FetchSettings, PullPolicy
from nodeprefetch.testing import HANG, FakeContainerdApi, FakeImageService, Hang
from nodeprefetch.testing.run import FakeRun

NAME = "docker.io/library/app"
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PASSING = RuntimeFaultError.from_status("UNKNOWN", "connection reset by peer")


def held(*digests: str, image_id: str = OLD, tags: tuple[str, ...] = (f"{NAME}:latest", f"{NAME}:1")) -> ImageRecord:
    return ImageRecord(id=image_id, repo_tags=tags, repo_digests=tuple(f"{NAME}@{digest}" for digest in digests))


def node(*images: ImageRecord, **pulls: list[object]) -> FakeImageService:
    return FakeImageService(images=images or (held(OLD),), pulls={"app": [NEW], "app:1": [NEW], **pulls})


def moves(run: FakeRun) -> list[tuple[str, str, str]]:
    return [(event.image, event.before, event.after) for event in run.told(TagMoved)]


async def test_a_tag_that_has_moved_is_an_event_between_its_attempt_and_its_end(autojump_clock):
    run = FakeRun(service=node())

    await run.fetch("app")

    assert [("app", OLD, NEW)] == moves(run)
    assert [OLD] == [event.moved_from for event in run.told(AttemptFinished)]
    kinds = [type(event) for event in run.events if isinstance(event, AttemptFinished | TagMoved | ImageFinished)]
    assert [AttemptFinished, TagMoved, ImageFinished] == kinds


async def test_the_next_run_finds_nothing_moved(autojump_clock):
    service = node()
    await FakeRun(service=service).fetch("app")
    second = FakeRun(service=service)

    await second.fetch("app")

    assert [] == moves(second)
    assert Outcome.SUCCEEDED is second.result("app").outcome


async def test_a_first_pull_moves_nothing(autojump_clock):
    run = FakeRun(service=node(held(OLD, tags=())))

    await run.fetch("app")

    assert [] == moves(run)


@pytest.mark.parametrize(("image", "policy"), [("app:1", None), ("app", PullPolicy.IF_NOT_PRESENT)])
async def test_a_tag_that_is_not_pulled_again_moves_nothing(autojump_clock, image, policy):
    run = FakeRun(service=node(), settings=FetchSettings(pull_policy=policy))

    await run.fetch(image)

    assert [] == moves(run)


async def test_a_name_with_a_digest_never_moves(autojump_clock):
    name = f"app@{OLD}"
    run = FakeRun(service=node(**{name: [NEW]}), settings=FetchSettings(pull_policy=PullPolicy.ALWAYS))

    await run.fetch(name)

    assert [] == moves(run)
    assert OLD == run.result(name).digest


async def test_it_is_said_once_however_many_attempts_it_took(autojump_clock):
    """Attempts begin at 0, 1 and 1+2+60: a failed one, one that stalls, and one that brings it."""
    service = node(app=[PASSING, HANG, Hang(5, then=NEW)])
    run = FakeRun(service=service)

    await run.fetch("app")

    assert ["", "", OLD] == [event.moved_from for event in run.told(AttemptFinished)]
    assert [("app", OLD, NEW)] == moves(run)


async def test_a_pull_that_a_run_leaves_unfinished_is_said_by_the_run_that_ends_it(autojump_clock):
    service = node(app=[HANG, NEW])
    first = FakeRun(service=service, settings=FetchSettings(overall_timeout=10))
    second = FakeRun(service=service)

    await first.fetch("app")
    await second.fetch("app")

    assert ([], [("app", OLD, NEW)]) == (moves(first), moves(second))


async def test_a_tag_that_moves_back_to_an_image_on_the_node_has_moved(autojump_clock):
    run = FakeRun(service=node(held(OLD), held(NEW, image_id=NEW, tags=())))

    await run.fetch("app")

    assert [("app", OLD, NEW)] == moves(run)


async def test_where_the_runtime_does_not_list_images_each_is_looked_up(autojump_clock):
    class Listless(FakeImageService):
        async def list_images(self):
            raise RuntimeFaultError.from_status("UNKNOWN", "too many images")

    run = FakeRun(service=Listless(images=[held(OLD)], pulls={"app": [NEW]}))

    await run.fetch("app")

    assert [("app", OLD, NEW)] == moves(run)
    assert [True] == [event.is_present for event in run.told(AttemptStarted)]


async def test_an_image_of_an_unknown_digest_moves_nothing(autojump_clock):
    run = FakeRun(service=node(held()))

    await run.fetch("app")

    assert [] == moves(run)


async def test_an_index_that_changes_around_the_same_image_has_moved(autojump_clock):
    """The image on the node stays, and has both digests afterwards; containerd knows that the second one counts."""
    api = FakeContainerdApi()
    first, last = "sha256:" + "f" * 64, OLD
    api.record(f"{NAME}:latest", first)

    class OneImage(FakeImageService):
        async def pull_image(self, image, auth=None, *, lease=""):
            api.record(f"{NAME}:latest", last)
            self._held = [held(last, first)]
            return OLD

    service = OneImage(images=[held(first)])
    run, again = FakeRun(service=service, containerd=api), FakeRun(service=service, containerd=api)

    await run.fetch("app")
    await again.fetch("app")

    assert [("app", first, last)] == moves(run)
    assert last == run.result("app").digest
    assert [] == moves(again)


@pytest.mark.parametrize(
    ("digests", "image_id", "expected"),
    [
        (("i1", "m1"), "1", []),
        (("m1", "i1"), "1", []),
        (("i2", "m2"), "2", [("app", "i1", "i2")]),
        (("i1", "m1", "i2"), "1", [("app", "i1", "i2")]),
        (("i1",), "1", []),
    ],
    ids=["the same", "in another order", "another image", "another index", "one less"],
)
async def test_on_cri_o_only_a_new_digest_has_moved(autojump_clock, digests, image_id, expected):
    """It lists the digest of the index of the first pull, and then those of the manifest and of later indexes."""

    class CriO(FakeImageService):
        async def pull_image(self, image, auth=None, *, lease=""):
            self._held = [held(*digests, image_id=image_id)]
            return image_id

    run = FakeRun(service=CriO(images=[held("i1", "m1", image_id="1")], name="cri-o"))

    await run.fetch("app")

    assert expected == moves(run)


async def test_an_image_that_is_kept_without_its_registry_has_the_digest_on_the_node(autojump_clock):
    run = FakeRun(service=node(app=[PASSING]), settings=FetchSettings(keeps_present=True))

    await run.fetch("app")

    result = run.result("app")
    assert (Outcome.PRESENT, OLD, OLD) == (result.outcome, result.image_id, result.digest)
    assert [] == moves(run)
