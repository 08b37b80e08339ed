"""People name an image by a part of its name."""

import pytest

from nodeprefetch.cluster.image_match import find_image, unknown_image
from nodeprefetch.errors import UsageError

DIGEST = "sha256:" + "a" * 64
LISTED = (
    "nginx",
    "registry.example.com/team/app:1.2",
    "registry.example.com:5000/other/web:2",
    f"quay.io/team/pinned@{DIGEST}",
    "quay.io/my-app:1",
)


@pytest.mark.parametrize(
    ("asked", "image"),
    [
        ("nginx", "nginx"),
        ("nginx:latest", "nginx"),
        ("docker.io/library/nginx", "nginx"),
        ("library/nginx", "nginx"),
        ("index.docker.io/nginx:latest", "nginx"),
        ("app", "registry.example.com/team/app:1.2"),
        ("app:1.2", "registry.example.com/team/app:1.2"),
        ("team/app", "registry.example.com/team/app:1.2"),
        ("registry.example.com/team/app", "registry.example.com/team/app:1.2"),
        ("web", "registry.example.com:5000/other/web:2"),
        ("pinned", f"quay.io/team/pinned@{DIGEST}"),
        (f"pinned@{DIGEST}", f"quay.io/team/pinned@{DIGEST}"),
        ("my-app", "quay.io/my-app:1"),
    ],
)
def test_an_image_is_found_by_its_last_parts(asked: str, image: str):
    assert image == find_image(asked, LISTED)


@pytest.mark.parametrize(
    "asked", ["", "ap", "app:1", "app:2", "eam/app", "team", "nginx:1", "example.com/team/app", ":1.2"]
)
def test_parts_of_parts_name_no_image(asked: str):
    assert find_image(asked, LISTED) is None


def test_a_whole_name_wins_over_the_end_of_another():
    assert "app:1" == find_image("app:1", ["quay.io/app:1", "app:1"])


def test_a_name_of_several_images_is_refused_with_all_of_them():
    with pytest.raises(UsageError) as raised:
        find_image("app", ["quay.io/app:1", "quay.io/app:2", "quay.io/web:1"])

    assert 'image "app" is ambiguous: "quay.io/app:1", "quay.io/app:2"' == str(raised.value)


def test_the_most_similar_images_come_first_in_the_error():
    error = unknown_image("team/apq:1.2", "the list of my-images", LISTED)

    assert str(error).startswith(
        'image "team/apq:1.2" is not in the list of my-images; it has "registry.example.com/team/app:1.2", '
    )


def test_of_a_long_list_some_images_are_named():
    error = unknown_image("x", "the list", [f"quay.io/a{number}:1" for number in range(12)])

    assert str(error).endswith(" and 2 more")
    assert 10 == str(error).count("quay.io/")


def test_hostile_names_are_quoted():
    assert r'image "\x1b[31m" is not in the list; it has "a\u202eb"' == str(
        unknown_image("\x1b[31m", "the list", ["a\u202eb"])
    )
