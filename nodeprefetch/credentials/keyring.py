"""The keyring: which credentials match an image, and in which order. The kubelet's rules, without I/O."""

import re
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.values.image_ref import DEFAULT_DOMAIN, ImageRef, ImageRefError, quote

_DOCKER_HUB_KEY = "index.docker.io"
_DOCKER_HUB_DOMAINS = {"docker.io", "index.docker.io"}
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9!$&'()*+,;=<>\"~._-]*)(?::[0-9]*)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_PATH_PART = r"[a-z0-9]+(?:(?:__?|\.|-+)[a-z0-9]+)*"
_PATH_START = re.compile(rf"(?:/{_PATH_PART})*(?:/(?:{_PATH_PART}(?:__?|\.|-+)?)?)?")
"""What the path of an image can begin with."""

_MARKS = {
    "*": "wildcards match in the host only",
    ":": "a key has no tag",
    "@": "a key has no digest",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPattern:
    """A key, as an image's name is compared with it: host labels with `*` in them, a port, a path in front."""

    host: str
    """With its port."""
    path: str
    """Empty, or beginning with a slash."""

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Take a key apart as a URL, `https://` understood; None when it is none that the kubelet could read."""
        has_scheme = key.startswith(("http://", "https://"))
        rest = key.partition("://")[2] if has_scheme else key
        rest = rest.partition("#")[0].partition("?")[0]
        authority, slash, path = rest.partition("/")
        host = authority.rpartition("@")[2]
        if _CONTROL.search(key) or not _HOST.fullmatch(host) or _BAD_ESCAPE.search(path):
            return None
        return cls(host=host, path=urllib.parse.unquote(slash + path))

    def without_api_version(self) -> Self:
        """`/v1/` and `/v2/` in front of the path belong to a registry's API, and a lone slash says nothing."""
        path = self.path[3:] if self.path.startswith(("/v1/", "/v2/")) else self.path
        return type(self)(host=self.host, path="" if path == "/" else path)

    @property
    def text(self) -> str:
        """What keys are sorted by."""
        return self.host + self.path

    def matches(self, lookup_name: str) -> bool:
        """Port and number of labels the same, each label matched, and the path a plain prefix of the name's."""
        domain, slash, path = lookup_name.partition("/")
        host, port = _split_port(self.host)
        wanted_host, wanted_port = _split_port(domain)
        patterns, labels = host.split("."), wanted_host.split(".")
        return (
            port == wanted_port
            and len(patterns) == len(labels)
            and (slash + path).startswith(self.path)
            and all(_glob_matches(*pair) for pair in zip(patterns, labels, strict=True))
        )

    def why_never(self) -> str | None:
        """Why no image can match, and what to write instead; None where one can.

        The kubelet takes such patterns without a word.
        """
        path, mark, _ = _split_at_mark(self.path)
        if self.host == _DOCKER_HUB_KEY:
            path = "" if path.strip("/") in {"v1", "v2"} else path
            return f"images of Docker Hub have the host docker.io (write {quote(DEFAULT_DOMAIN + path)})"
        if not _may_be_registry(self.host):
            return f"no registry has the host {quote(self.host)} (it must have a dot or a port, or be localhost)"
        if mark:
            return f"{_MARKS[mark]} (write {quote(self.host + path)})"
        return None if _PATH_START.fullmatch(path) else f"no repository begins with {quote(path)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyringEntry:
    """A credential and the key it stands under."""

    key: str
    """As written."""
    auth: AuthConfig


class Keyring:
    """Credentials by key.

    Args:
        entries: in the order in which credentials under one key are to be used.
    """

    def __init__(self, entries: Iterable[KeyringEntry] = ()) -> None:
        patterns: dict[str, KeyPattern] = {}
        self._entries: dict[str, list[KeyringEntry]] = {}
        unusable: list[str] = []
        for entry in entries:
            pattern = KeyPattern.parse(entry.key)
            if pattern is None:
                unusable.append(entry.key)
                continue
            pattern = pattern.without_api_version()
            patterns[pattern.text] = pattern
            self._entries.setdefault(pattern.text, []).append(entry)
        self.unusable_keys = tuple(unusable)
        """Keys that are no host with a path: they match nothing."""

        # Reverse byte order: a longer path before the path it begins with, a host before a pattern for it.
        order = sorted(patterns, key=lambda text: text.encode("utf-8", "replace"), reverse=True)
        self._by_host: dict[tuple[str, str], list[tuple[int, KeyPattern]]] = {}
        """Patterns without `*` in the host, each with its place in the order: most keys are such, and most images
        match few of them."""

        self._with_globs: dict[tuple[int, str], list[tuple[int, KeyPattern]]] = {}
        """The others, by number of labels and port: what has to be the same."""

        for place, text in enumerate(order):
            pattern = patterns[text]
            host, port = _split_port(pattern.host)
            if "*" in host:
                self._with_globs.setdefault((host.count("."), port), []).append((place, pattern))
            else:
                self._by_host.setdefault((host, port), []).append((place, pattern))

    def lookup(self, image: ImageRef | str) -> tuple[KeyringEntry, ...]:
        """All credentials for an image, those under the most specific key first; empty when there is none.

        Args:
            image: the image, or its lookup name: registry and repository, without tag and digest.
        """
        name = image.lookup_name if isinstance(image, ImageRef) else image
        host, port = _split_port(name.partition("/")[0])
        candidates = (*self._by_host.get((host, port), ()), *self._with_globs.get((host.count("."), port), ()))
        places = [(place, pattern.text) for place, pattern in candidates if pattern.matches(name)]
        found = [entry for _, text in sorted(places) for entry in self._entries[text]]
        if not found and _is_of_docker_hub(name):
            found = self._entries.get(_DOCKER_HUB_KEY, [])
        return tuple(found)


def why_key_never(key: str) -> str | None:
    """Why no image can match a key of a pull secret; None where one can, or where the key cannot be read at all."""
    pattern = KeyPattern.parse(key)
    if pattern is None:
        return None
    pattern = pattern.without_api_version()
    return None if pattern.text == _DOCKER_HUB_KEY else pattern.why_never()


def _split_at_mark(path: str) -> tuple[str, str, str]:
    """What comes before the first character that is in no repository, that character, and the rest."""
    mark = next((c for c in path if c in _MARKS), "")
    before, _, rest = path.partition(mark) if mark else (path, "", "")
    return "" if before == "/" else before, mark, rest


def _may_be_registry(host: str) -> bool:
    """Whether an image can be written whose registry the pattern matches."""
    for letter in "aA":  # an upper-case letter makes a registry of a word
        sample = host.removesuffix(":").replace("*", letter)
        try:
            if ImageRef.parse(f"{sample}/a").domain == sample:
                return True
        except ImageRefError:
            continue
    return False


def _is_of_docker_hub(name: str) -> bool:
    domain, slash, _ = name.partition("/")
    return bool(domain) and (not slash or domain in _DOCKER_HUB_DOMAINS or not ("." in domain or ":" in domain))


def _split_port(host: str) -> tuple[str, str]:
    if host.startswith("["):
        address, _, port = host[1:].partition("]")
        return address, port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _glob_matches(pattern: str, label: str) -> bool:
    """`*` stands for any number of characters. Without backtracking: each piece is taken where it comes first."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == label
    last = rest.pop()
    if len(first) + len(last) > len(label) or not label.startswith(first) or not label.endswith(last):
        return False
    position, end = len(first), len(label) - len(last)
    for piece in rest:
        found = label.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True
