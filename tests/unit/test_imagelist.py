"""Image lists: comments, blank lines, encodings, and every problem with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.values.image_list import (
    MAX_LIST_BYTES,
    ImageList,
    decode_image_list,
    list_digest,
    merge,
    parse_image_arguments,
    parse_image_list,
    unique,
)
from nodeprefetch.values.image_ref import ImageRef


def texts(images: ImageList) -> list[str]:
    return [ref.text for ref in images.refs]


def test_comments_and_blank_lines_are_ignored_and_lines_counted() -> None:
    images = parse_image_list(
        "# tools\nnginx:1\n\n  quay.io/a/b  # why\nredis\t#x\n   # indented\n\tbusybox", origin="l"
    )

    assert () == images.problems
    assert [("nginx:1", 2), ("quay.io/a/b", 4), ("redis", 5), ("busybox", 7)] == [
        (image.ref.text, image.line) for image in images.images
    ]
    assert {"l"} == {image.origin for image in images.images}


def test_a_hash_inside_a_name_begins_no_comment() -> None:
    assert 'l:1: "nginx#1": ' in parse_image_list("nginx#1", origin="l").problems[0]


def test_crlf_and_a_byte_order_mark_are_tolerated() -> None:
    assert ["nginx", "redis"] == texts(decode_image_list(b"\xef\xbb\xbfnginx\r\nredis\r\n", origin="l"))


def test_every_bad_line_is_named_and_the_good_ones_are_kept() -> None:
    images = parse_image_list("quay.io/A\nnginx\nq.io/x:\n", origin="images.txt")

    assert (
        'images.txt:1: "quay.io/A": the repository "A" must be lower-case',
        'images.txt:3: "q.io/x:": the tag is empty',
    ) == images.problems
    assert ["nginx"] == texts(images)


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    images = parse_image_list(f"a{separator}b\nnginx", origin="l")

    assert 1 == len(images.problems)
    assert 2 == images.images[0].line


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"nginx\na\xffb", "l:2: invalid UTF-8: byte 0xff (save it as UTF-8)"),
        (b"\0", "l:1: contains a NUL byte (not a text file?)"),
        (b"nginx\n\na\0b", "l:3: contains a NUL byte (not a text file?)"),
        ("nginx".encode("utf-16"), "l: encoded as UTF-16 (save it as UTF-8)"),
        (b"#" * (MAX_LIST_BYTES + 1), "l: longer than 1048576 bytes (not an image list?)"),
    ],
)
def test_what_is_no_text_is_a_problem(data: bytes, problem: str) -> None:
    assert ImageList(problems=(problem,)) == decode_image_list(data, origin="l")


def test_the_longest_list_is_read() -> None:
    assert ImageList() == decode_image_list(b"#" * MAX_LIST_BYTES, origin="l")


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_are_a_list_or_a_problem(data: bytes) -> None:
    images = decode_image_list(data, origin="l")

    assert all(problem.startswith("l:") and problem.isprintable() for problem in images.problems)


def test_arguments_are_counted() -> None:
    images = parse_image_arguments(["nginx", "", "a # b"])

    assert ["nginx"] == texts(images)
    assert ("argument", 1) == (images.images[0].origin, images.images[0].line)
    assert (
        'argument 2: "": the name is empty',
        'argument 3: "a # b": must not contain whitespace',
    ) == images.problems


def test_lists_are_merged_in_their_order() -> None:
    merged = merge([parse_image_list("b\nA", origin="1"), parse_image_list("a\nB", origin="2")])

    assert ["b", "a"] == texts(merged)
    assert ["1:2", "2:2"] == [problem[:3] for problem in merged.problems]
    assert ImageList() == merge([])


def test_an_image_is_wanted_once_as_it_was_written_first() -> None:
    digest = "sha256:" + "0" * 64
    refs = [
        ImageRef.parse(text)
        for text in (
            "nginx",
            "docker.io/library/nginx:latest",
            "nginx:1",
            f"a:1@{digest}",
            f"a@{digest}",
            "index.docker.io/nginx",
        )
    ]

    assert ["nginx", "nginx:1", f"a:1@{digest}"] == [ref.text for ref in unique(refs)]


def test_a_list_is_identified_by_its_images_in_any_order_and_spelling() -> None:
    first = [ImageRef.parse(text) for text in ("nginx", "a:1")]
    same = [ImageRef.parse(text) for text in ("a:1", "docker.io/library/nginx:latest", "nginx")]
    other = [ImageRef.parse(text) for text in ("a:2", "nginx")]

    assert list_digest(first) == list_digest(same)
    assert list_digest(first) != list_digest(other)
    assert 16 == len(list_digest(first))
