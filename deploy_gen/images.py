"""Two kinds of images: ours, which runs in the pods, by repository and tag; and the list that is to be pulled."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy_gen import __version__
from deploy_gen.list_lines import STANDARD_INPUT, first_problems, read_lines
from deploy_gen.problems import InputError

DEFAULT_REPOSITORY = "ghcr.io/nodeprefetch/nodeprefetch"
DEFAULT_VERSION = f"v{__version__}"
LIST_KEY = "images.txt"
"""Key of the list in its ConfigMap."""

LIST_LIMIT = (1 << 20) - len(LIST_KEY)
"""Bytes: a ConfigMap holds 1 MiB, keys included."""

_HOST = r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_HOST}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_FULL_TAG = re.compile(_TAG)
_PSEUDO_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+-[0-9]+\.[0-9]+-([a-f0-9]{7,})")
_SHORT_HASH, _REPOSITORY_LIMIT = 7, 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """Our image."""

    reference: str
    """What stands in the pods."""

    tag: str
    """Empty where there is a digest alone."""


def tag_of_version(version: str) -> str:
    """The image's tag: a version of Go's for a commit between two releases becomes `sha-` and seven digits of it."""
    commit = _PSEUDO_VERSION.fullmatch(version)
    return f"sha-{commit[1][:_SHORT_HASH]}" if commit else version


def our_image(repository: str | None, version: str | None, *, distro: bool) -> Image:
    """Our image in a repository.

    Args:
        repository: with a tag or digest it is taken as it is.
        version: None for this generator's own.
        distro: the variant with a libc, for programs of the node.

    Raises:
        InputError: no reference comes out.
    """
    given = _REFERENCE.fullmatch(repository or DEFAULT_REPOSITORY)
    if given is None or len(given["repository"]) > _REPOSITORY_LIMIT:
        raise InputError(f"--image: {repository!r} is no image: write it like registry.example.com:5000/nodeprefetch")
    if given["tag"] or given["digest"]:
        if version is not None:
            raise InputError("--version: the tag or digest in --image says it already")
        return Image(reference=given[0], tag=given["tag"] or "")
    tag = tag_of_version(version or DEFAULT_VERSION) + ("-distro" if distro else "")
    if not _FULL_TAG.fullmatch(tag):
        raise InputError(f"--version: {tag!r} is no tag: up to 128 letters, digits, '_', '.' and '-'")
    return Image(reference=f"{given['repository']}:{tag}", tag=tag)


def read_list(file: str) -> str:
    """The list of images, as it is.

    Args:
        file: its name; `-` is standard input.

    Raises:
        InputError: it cannot be read, is not a list, or has lines that `fetch` would refuse.
    """
    where = STANDARD_INPUT if file == "-" else file
    try:
        if file == "-":
            data = sys.stdin.buffer.read(LIST_LIMIT + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(LIST_LIMIT + 1)
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error
    if len(data) > LIST_LIMIT:
        raise InputError(f"{where}: longer than the {LIST_LIMIT} bytes that fit into a ConfigMap")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 (byte 0x{data[error.start]:02x} at {error.start})") from error
    if "\0" in text:
        raise InputError(f"{where}: a NUL byte: this is no text file")
    lines = read_lines(text, origin=where)
    invalid = ((line, name) for line, name in lines.names if not _REFERENCE.fullmatch(name))
    named = ((line, f"{where}:{line}: {name!r} is not a valid image name") for line, name in invalid)
    problems = [problem for _, problem in sorted((*lines.problems, *named), key=lambda problem: problem[0])]
    if problems:
        raise InputError(*first_problems(problems))
    if not lines.names:
        raise InputError(f"{where}: there is no image in it")
    return text
