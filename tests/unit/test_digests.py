"""The digest that a name stands for on the node, and whether a tag has moved."""

import pytest

from nodeprefetch.pull.digests import Digests, KnownDigest
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing import FakeContainerdApi
from nodeprefetch.values.image_ref import ImageRef

NAME = "docker.io/library/app"
APP = ImageRef.parse("app:1")
A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def known(*digests: str, shown: str = "") -> KnownDigest:
    return KnownDigest(shown or (digests[0] if digests else ""), frozenset(digests))


def record(*digests: str) -> ImageRecord:
    return ImageRecord(id="sha256:1", repo_tags=(f"{NAME}:1",), repo_digests=tuple(f"{NAME}@{one}" for one in digests))


async def test_one_digest_is_the_one_and_nobody_is_asked():
    api = FakeContainerdApi()

    assert known(A) == await Digests(api).find(APP, record(A))
    assert [] == api.asked


async def test_digests_of_other_repositories_do_not_count():
    images = ImageRecord(id="sha256:1", repo_digests=(f"{NAME}2@{A}", f"quay.io/app@{B}", f"{NAME}@{C}"))

    assert known(C) == await Digests().find(APP, images)


async def test_a_name_with_a_digest_stands_for_it():
    image = ImageRef.parse(f"app:1@{B}")

    assert known(B) == await Digests().find(image, record(A, B))


async def test_containerd_knows_which_of_several_digests_is_the_one():
    api = FakeContainerdApi()
    api.record(f"{NAME}:1", B)

    assert known(B) == await Digests(api).find(APP, record(A, B), known(A))


@pytest.mark.parametrize("order", [(A, B), (B, A)])
async def test_of_several_digests_the_first_is_shown(order):
    assert known(*order) == await Digests().find(APP, record(*order))


async def test_after_a_pull_a_new_digest_is_shown():
    assert known(A, B, C, D, shown=C) == await Digests().find(APP, record(A, C, B, D), known(A, B))


@pytest.mark.parametrize("why", ["gone", "not found", "another"])
async def test_where_containerd_does_not_help_all_of_them_are_possible(why):
    api = FakeContainerdApi()
    if why == "gone":
        api.gone = RuntimeFaultError.gone("the runtime is gone")
    elif why == "another":
        api.record(f"{NAME}:1", C)

    assert known(A, B) == await Digests(api).find(APP, record(A, B))


async def test_without_a_digest_nothing_is_known():
    assert known() == await Digests().find(APP, record())


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (known(A), known(B), True),
        (known(A), known(A), False),
        (known(A), known(A, B, shown=B), True),
        (known(A, B), known(A, B), False),
        (known(A, B), known(B), False),  # it may have been B
        (known(A, B), known(C, D), True),
        (known(A), known(), False),
        (known(), known(A), False),
    ],
)
def test_a_tag_has_moved_if_it_surely_was_another_digest(before, after, moved):
    assert moved == after.has_moved_from(before)
