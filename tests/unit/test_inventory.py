"""Whether an image of the list is among those the runtime holds."""

import pytest

from nodeprefetch.runtime.api import ImageRecord, Inventory
from nodeprefetch.values.image_ref import ImageRef

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
HELD = ImageRecord(
    id="sha256:" + "1" * 64,
    repo_tags=("docker.io/library/nginx:1", "quay.io/team/app:2"),
    repo_digests=(f"docker.io/library/nginx@{DIGEST}",),
)


@pytest.mark.parametrize(
    "name", ["nginx:1", "docker.io/nginx:1", "index.docker.io/library/nginx:1", f"nginx@{DIGEST}", "quay.io/team/app:2"]
)
def test_it_is_found_under_every_way_to_write_its_name(name):
    assert HELD is Inventory([HELD]).find(ImageRef.parse(name))


@pytest.mark.parametrize(
    "name", ["nginx", "nginx:2", f"nginx@{OTHER}", "quay.io/team/app:1", f"quay.io/team/app@{DIGEST}"]
)
def test_another_tag_digest_or_repository_is_another_image(name):
    assert Inventory([HELD]).find(ImageRef.parse(name)) is None


def test_beside_a_digest_the_tag_does_not_count():
    assert HELD is Inventory([HELD]).find(ImageRef.parse(f"nginx:9@{DIGEST}"))


def test_an_image_whose_tag_moved_away_is_not_found_by_it():
    moved = ImageRecord(id=HELD.id, repo_digests=HELD.repo_digests)

    assert Inventory([moved]).find(ImageRef.parse("nginx:1")) is None


def test_names_are_sorted_for_people():
    assert ("docker.io/library/nginx:1", f"docker.io/library/nginx@{DIGEST}", "quay.io/team/app:2") == (
        Inventory([HELD]).names()
    )
