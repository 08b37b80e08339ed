"""Image lists: one image name a line, read into refs that know their line, and problems that do too."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodeprefetch.imageref import ImageRef, ImageRefError

MAX_LIST_BYTES = 1 << 20
"""A ConfigMap holds 1 MiB at most, and that is ten thousand names: a longer file is some other file."""

_COMMENT = re.compile(r"(?:^|(?<=\s))#")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedImage:
    """An image, and where it was asked for."""

    ref: ImageRef
    origin: str
    """The file, as the user named it, or `argument`."""
    line: int
    """From 1; for arguments, which one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageList:
    """What a list gave: every name that is one, and every line that is none."""

    images: tuple[ListedImage, ...] = ()
    problems: tuple[str, ...] = ()
    """One sentence each, with file and line: `images.txt:7: "quay.io/A": …`."""

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        """The images alone, in order, repeated where the list repeats them: see `unique`."""
        return tuple(image.ref for image in self.images)


def decode_image_list(data: bytes, *, origin: str) -> ImageList:
    """Read a list from a file's bytes, UTF-8 with or without a byte order mark.

    Never raises: what is no text is a problem of the list. A reader need not read more than one byte beyond
    `MAX_LIST_BYTES`.
    """
    if len(data) > MAX_LIST_BYTES:
        return _unreadable(f"{origin}: longer than {MAX_LIST_BYTES} bytes: this is no image list")
    if data.startswith(_UTF16_MARKS):
        return _unreadable(f"{origin}: encoded as UTF-16: save it as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        return _unreadable(f"{origin}:{_line_of(data, nul)}: a NUL byte: this is no text file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        return _unreadable(f"{origin}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}): save it as UTF-8")
    return parse_image_list(text, origin=origin)


def parse_image_list(text: str, *, origin: str) -> ImageList:
    """Read a list: one name a line; blank lines and `#` comments, also behind a name, are ignored."""
    images: list[ListedImage] = []
    problems: list[str] = []
    # Not splitlines(): that also splits at characters no editor takes for the end of a line.
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        name = _COMMENT.split(raw, maxsplit=1)[0].strip()
        if name:
            _add(name, origin=origin, line=number, place=f"{origin}:{number}", images=images, problems=problems)
    return ImageList(images=tuple(images), problems=tuple(problems))


def parse_image_arguments(arguments: Sequence[str]) -> ImageList:
    """Read names given on the command line: no comments there; an empty argument is a problem."""
    images: list[ListedImage] = []
    problems: list[str] = []
    for number, argument in enumerate(arguments, start=1):
        place = f"argument {number}"
        _add(argument, origin="argument", line=number, place=place, images=images, problems=problems)
    return ImageList(images=tuple(images), problems=tuple(problems))


def merge(lists: Iterable[ImageList]) -> ImageList:
    """Several lists as one, in their order, with all their problems; repeated images stay: see `unique`."""
    lists = tuple(lists)
    return ImageList(
        images=tuple(image for each in lists for image in each.images),
        problems=tuple(problem for each in lists for problem in each.problems),
    )


def unique(refs: Iterable[ImageRef]) -> tuple[ImageRef, ...]:
    """Each image once, as it was written first: `nginx` and `docker.io/library/nginx` are the same one."""
    first: dict[str, ImageRef] = {}
    for ref in refs:
        first.setdefault(ref.pull_ref, ref)
    return tuple(first.values())


def _add(name: str, *, origin: str, line: int, place: str, images: list[ListedImage], problems: list[str]) -> None:
    try:
        images.append(ListedImage(ref=ImageRef.parse(name), origin=origin, line=line))
    except ImageRefError as error:
        problems.append(f"{place}: {error}")


def _unreadable(problem: str) -> ImageList:
    return ImageList(problems=(problem,))


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
