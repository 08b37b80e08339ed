"""Validates images: nodeprefetch's own by repository and tag, and the list of images to pull."""

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

NEEDS_KEY = "gate-needs.txt"
"""Key of the images that new nodes need before they open."""

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
_DOCKER_HUB = re.compile(r"(?:index\.)?docker\.io/")
_PSEUDO_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+-[0-9]+\.[0-9]+-([a-f0-9]{7,})")
_SHORT_HASH, _REPOSITORY_LIMIT = 7, 255  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramImage:
    """The nodeprefetch image that pods run."""

    reference: str
    tag: str
    """Empty if the reference has a digest only."""


def tag_of_version(version: str) -> str:
    """Convert a version to an image tag. A Go pseudo-version becomes `sha-` and seven digits of its commit."""
    commit = _PSEUDO_VERSION.fullmatch(version)
    return f"sha-{commit[1][:_SHORT_HASH]}" if commit else version


def program_image(repository: str | None, version: str | None, *, distro: bool) -> ProgramImage:
    """Build the reference of the nodeprefetch image.

    Args:
        repository: used as it is if it has a tag or digest; None for the default.
        version: None for this generator's own.
        distro: use the variant with a libc, which some credential providers of nodes need.

    Raises:
        InputError: the result is not a valid reference.
    """
    given = _REFERENCE.fullmatch(repository or DEFAULT_REPOSITORY)
    if given is None or len(given["repository"]) > _REPOSITORY_LIMIT:
        raise InputError(
            f"--image: invalid image {repository!r} (expected e.g. registry.example.com:5000/nodeprefetch)"
        )
    if given["tag"] or given["digest"]:
        if version is not None:
            raise InputError("--version: cannot be combined with a tag or digest in --image")
        return ProgramImage(reference=given[0], tag=given["tag"] or "")
    tag = tag_of_version(version or DEFAULT_VERSION) + ("-distro" if distro else "")
    if not _FULL_TAG.fullmatch(tag):
        raise InputError(f"--version: invalid tag {tag!r}: must be up to 128 letters, digits, '_', '.' and '-'")
    return ProgramImage(reference=f"{given['repository']}:{tag}", tag=tag)


def is_image_name(text: str) -> bool:
    """Whether `fetch` accepts the text as an image reference."""
    return _REFERENCE.fullmatch(text) is not None


def read_list(file: str) -> str:
    """Read the list of images and validate it. Returns its text unchanged.

    Args:
        file: its name; `-` is standard input.

    Raises:
        InputError: the list cannot be read, or `fetch` would reject it.
    """
    origin = STANDARD_INPUT if file == "-" else file
    text = _decode(_read(file, origin), origin)
    lines = read_lines(text, origin=origin)
    invalid = [(line, name) for line, name in lines.names if not is_image_name(name)]
    problems = [*lines.problems, *((line, f"{origin}:{line}: invalid image name {name!r}") for line, name in invalid)]
    if problems:
        problems.sort(key=lambda problem: problem[0])
        raise InputError(*first_problems([text for _, text in problems]))
    if not lines.names:
        raise InputError(f"{origin}: contains no images")
    return text


def read_needs(file: str, images: str) -> str:
    """Read the images that new nodes need, in the same way.

    Args:
        file: its name; `-` is standard input.
        images: the list, which must contain them.

    Raises:
        InputError: the list cannot be read, or contains images that are not pulled.
    """
    text = read_list(file)
    pulled = {full_name(name) for _, name in read_lines(images, origin="").names}
    needed = read_lines(text, origin=STANDARD_INPUT if file == "-" else file).names
    missing = [
        f"{file}:{line}: {name} is not in the list of --images"
        for line, name in needed
        if full_name(name) not in pulled
    ]
    if missing:
        raise InputError(*first_problems(missing))
    if len(text.encode()) + len(images.encode()) + len(NEEDS_KEY) > LIST_LIMIT:
        raise InputError(
            f"must not be longer than {LIST_LIMIT} bytes together with the list, as both are in one ConfigMap"
        )
    return text


def full_name(name: str) -> str:
    """Write an image's name in full: with registry, and with its digest if it has one, otherwise with its tag."""
    match = _REFERENCE.fullmatch(name)
    if match is None:
        return name
    repository = _DOCKER_HUB.sub("", match["repository"])
    host, slash, _ = repository.partition("/")
    if not slash:
        repository = f"docker.io/library/{repository}"
    elif host != "localhost" and not set(".:") & set(host) and host == host.lower():
        repository = f"docker.io/{repository}"
    return f"{repository}@{match['digest']}" if match["digest"] else f"{repository}:{match['tag'] or 'latest'}"


def _read(file: str, origin: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(LIST_LIMIT + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(LIST_LIMIT + 1)
    except OSError as error:
        raise InputError(f"{origin}: cannot be read: {error.strerror or error}") from error
    if len(data) > LIST_LIMIT:
        raise InputError(f"{origin}: must not be longer than {LIST_LIMIT} bytes, which is what a ConfigMap can hold")
    return data


def _decode(data: bytes, origin: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        byte = f"0x{data[error.start]:02x}"
        raise InputError(f"{origin}: is not valid UTF-8 (byte {byte} at offset {error.start})") from error
    if "\0" in text:
        raise InputError(f"{origin}: contains a NUL byte (not a text file?)")
    return text
