"""Labels that pin, and whose pins they are."""

import pytest

from nodeprefetch.runtime.api import ImageName
from nodeprefetch.runtime.pin_labels import PINNED, instance_of, mark_of, marks, pin_labels, release
from nodeprefetch.testing import FakeContainerdApi

A, B = ("sha256:" + digit * 64 for digit in "ab")


async def test_a_pin_made_while_it_is_taken_away_is_put_back(autojump_clock):
    """The second instance writes its labels between the first one's look and its change."""
    api = FakeContainerdApi()
    api.record(A, "manifest", labels={PINNED: "pinned", mark_of("one"): "true"})
    seen = await api.image_names()
    await api.label_image(A, pin_labels("two"))

    await release(api, seen, lambda _, mark: mark == mark_of("one"))

    assert {PINNED: "pinned", mark_of("two"): "true"} == api.names[A].labels


async def test_a_foreign_pin_is_not_put_back():
    api = FakeContainerdApi()
    api.record(A, "manifest", labels={PINNED: "pinned", mark_of("one"): "true"})
    api.record(B, "other", labels={})

    (released,) = await release(api, await api.image_names(), lambda *_: True)

    assert (A, (), ("one",), ()) == (released.image_id, released.names, released.instances, released.still)
    assert {} == api.names[A].labels


async def test_names_of_what_is_released_are_tags_or_else_digests():
    labels = {PINNED: "pinned", mark_of(""): "true"}
    records = [
        ImageName(name=A, digest="m1", labels=labels),
        ImageName(name="r/a:2", digest="m1"),
        ImageName(name="r/a:1", digest="m1"),
        ImageName(name=f"r/a@{A}", digest="m1"),
        ImageName(name=B, digest="m2", labels=labels),
        ImageName(name=f"r/b@{B}", digest="m2"),
    ]

    released = await release(FakeContainerdApi(), records, lambda *_: True)

    assert [("r/a:1", "r/a:2"), (f"r/b@{B}",)] == [one.names for one in released]
    assert [("",), ("",)] == [one.instances for one in released]


@pytest.mark.parametrize("instance", ["", "one", "my.images", "a b/c=d%ü", "x" * 1000])
def test_a_mark_tells_its_instance(instance):
    assert instance == instance_of(mark_of(instance))
    assert (mark_of(instance),) == marks({mark_of(instance): "true", PINNED: "pinned"})


def test_marks_of_long_names_fit_a_label_and_differ():
    one, other = mark_of("ü" * 3000 + "1"), mark_of("ü" * 3000 + "2")

    assert one != other
    assert len(one) + len("true") < 4096


def test_a_name_that_is_no_text_has_a_mark():
    assert mark_of("\udcff").isascii()


def test_labels_of_others_are_no_marks():
    assert () == marks({"nodeprefetch.io/pinned-by-hand": "x", "io.cri-containerd.image": "managed"})
