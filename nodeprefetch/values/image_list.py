"""Parses image lists, one image per line, into images and problems with their line numbers."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from nodeprefetch.text.list_lines import IMAGE_ID, read_lines, shape_of
from nodeprefetch.values.image_ref import ImageRef, ImageRefError, quote

MAX_LIST_BYTES = 1 << 20
"""A ConfigMap holds at most 1 MiB, some ten thousand names: a longer file is probably not a list."""

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class ListedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image and where it is listed."""

    ref: ImageRef
    origin: str
    """The file as the user named it, or `argument`."""
    line: int
    """Line number from 1; for arguments, the position."""


class ImageList(msgspec.Struct, frozen=True, kw_only=True):
    """The valid and the invalid lines of a list."""

    images: tuple[ListedImage, ...] = ()
    problems: tuple[str, ...] = ()
    """One message each, with file and line: `images.txt:7: "quay.io/A": …`."""

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        """The images in order. An image may be repeated: see `unique`."""
        return tuple(image.ref for image in self.images)


def decode_image_list(data: bytes, *, origin: str) -> ImageList:
    """Parse the content of a list file, UTF-8 with or without a byte order mark.

    Never raises: data that is not text is a problem of the list. Callers need not read more than
    `MAX_LIST_BYTES` + 1 bytes.
    """
    if len(data) > MAX_LIST_BYTES:
        return _unreadable(f"{origin}: longer than {MAX_LIST_BYTES} bytes (not an image list?)")
    if data.startswith(_UTF16_MARKS):
        return _unreadable(f"{origin}: encoded as UTF-16 (save it as UTF-8)")
    nul = data.find(b"\0")
    if nul >= 0:
        return _unreadable(f"{origin}:{_line_of(data, nul)}: contains a NUL byte (not a text file?)")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        return _unreadable(f"{origin}:{line}: invalid UTF-8: byte 0x{data[error.start]:02x} (save it as UTF-8)")
    return parse_image_list(text, origin=origin)


def parse_image_list(text: str, *, origin: str) -> ImageList:
    """Parse a list: one name per line. Ignores blank lines and `#` comments, also after a name.

    `list_lines` says what else may surround a name, and how other formats are reported.
    """
    lines = read_lines(text, origin=origin)
    images: list[ListedImage] = []
    problems = list(lines.problems)
    for line, name in lines.names:
        try:
            images.append(ListedImage(ref=ImageRef.parse(name), origin=origin, line=line))
        except ImageRefError as error:
            problems.append((line, f"{origin}:{line}: {error}"))
    problems.sort(key=lambda problem: problem[0])
    return ImageList(images=tuple(images), problems=tuple(text for _, text in problems))


def parse_image_arguments(arguments: Sequence[str]) -> ImageList:
    """Parse names from the command line, with nothing around them. An empty argument is a problem."""
    images: list[ListedImage] = []
    problems: list[str] = []
    for number, argument in enumerate(arguments, start=1):
        if shape_of(argument) is IMAGE_ID:
            problems.append(f"argument {number}: {quote(argument)}: {IMAGE_ID.what}")
            continue
        try:
            images.append(ListedImage(ref=ImageRef.parse(argument), origin="argument", line=number))
        except ImageRefError as error:
            problems.append(f"argument {number}: {error}")
    return ImageList(images=tuple(images), problems=tuple(problems))


def merge(lists: Iterable[ImageList]) -> ImageList:
    """Join lists in order, with all their problems. Repeated images remain: see `unique`."""
    lists = tuple(lists)
    return ImageList(
        images=tuple(image for each in lists for image in each.images),
        problems=tuple(problem for each in lists for problem in each.problems),
    )


def unique(refs: Iterable[ImageRef]) -> tuple[ImageRef, ...]:
    """Remove repeated images, keeping the first spelling: `nginx` is the same as `docker.io/library/nginx`."""
    first: dict[str, ImageRef] = {}
    for ref in refs:
        first.setdefault(ref.pull_ref, ref)
    return tuple(first.values())


def list_digest(refs: Iterable[ImageRef]) -> str:
    """Identify a list of images, in any order and spelling: 16 hex digits."""
    names = "\n".join(sorted({ref.pull_ref for ref in refs}))
    return blake2b(names.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def _unreadable(problem: str) -> ImageList:
    return ImageList(problems=(problem,))


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
