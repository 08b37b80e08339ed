"""The keyring: which credentials match an image, and in which order. Follows the kubelet's rules; no I/O."""

import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import msgspec

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
    ":": "a key cannot have a tag",
    "@": "a key cannot have a digest",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class KeyPattern(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed key: what the name of an image is compared with. The host's labels may contain `*`."""

    host: str
    """Includes the port."""
    path: str
    """Empty, or a path prefix that begins with a slash."""

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Parse a key as a URL, with or without a scheme; return None if the kubelet could not parse it."""
        has_scheme = key.startswith(("http://", "https://"))
        rest = key.partition("://")[2] if has_scheme else key
        rest = rest.partition("#")[0].partition("?")[0]
        authority, slash, path = rest.partition("/")
        host = authority.rpartition("@")[2]
        if _CONTROL.search(key) or not _HOST.fullmatch(host) or _BAD_ESCAPE.search(path):
            return None
        return cls(host=host, path=urllib.parse.unquote(slash + path))

    def without_api_version(self) -> Self:
        """Drop a leading `/v1/` or `/v2/`, which belongs to the registry's API, and a lone slash."""
        path = self.path[3:] if self.path.startswith(("/v1/", "/v2/")) else self.path
        return type(self)(host=self.host, path="" if path == "/" else path)

    @property
    def text(self) -> str:
        """The key as text; keys are sorted by it."""
        return self.host + self.path

    def matches(self, lookup_name: str) -> bool:
        """Whether a lookup name matches.

        It does if port and number of labels are equal, each label matches, and the path is a prefix of the name's.
        """
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
        """Explain why no image can match, and what to write instead; None if an image can match.

        The kubelet accepts such patterns silently.
        """
        path, mark, _ = _split_at_mark(self.path)
        if self.host == _DOCKER_HUB_KEY:
            path = "" if path.strip("/") in {"v1", "v2"} else path
            return f"images of Docker Hub have the host docker.io (write {quote(DEFAULT_DOMAIN + path)})"
        if not _may_be_registry(self.host):
            return f"{quote(self.host)} is not a registry (a host must have a dot or a port, or be localhost)"
        if mark:
            return f"{_MARKS[mark]} (write {quote(self.host + path)})"
        return None if _PATH_START.fullmatch(path) else f"no repository begins with {quote(path)}"


class KeyringEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A credential and its key."""

    key: str
    """As written: `quay.io`, `*.azurecr.io`, `https://quay.io/v2/`, `registry.example.com:5000/team`."""
    auth: AuthConfig


_Entries = dict[KeyPattern, list[KeyringEntry]]


class Keyring:
    """Credentials by key.

    Args:
        entries: in the order in which credentials under one key are used.
    """

    def __init__(self, entries: Iterable[KeyringEntry] = ()) -> None:
        self._by_host: dict[tuple[str, str], _Entries] = {}
        """Keys without `*` in the host, by host and port: most keys are such, and most images match few of them."""

        self._with_globs: dict[tuple[int, str], _Entries] = {}
        """The other keys, by number of labels and port: those must be the same as the image's."""

        unusable: list[str] = []
        for entry in entries:
            pattern = KeyPattern.parse(entry.key)
            if pattern is None:
                unusable.append(entry.key)
                continue
            pattern = pattern.without_api_version()
            host, port = _split_port(pattern.host)
            if "*" in host:
                candidates = self._with_globs.setdefault((host.count("."), port), {})
            else:
                candidates = self._by_host.setdefault((host, port), {})
            candidates.setdefault(pattern, []).append(entry)
        self.unusable_keys = tuple(unusable)
        """Keys that are not a host or host/path: they match nothing."""

    def lookup(self, image: ImageRef | str) -> tuple[KeyringEntry, ...]:
        """Return all credentials for an image, those under the most specific key first.

        Args:
            image: the image, or its lookup name: registry and repository, without tag and digest.
        """
        name = image.lookup_name if isinstance(image, ImageRef) else image
        return tuple(match.entry for match in match_keyrings([self], name))

    def matching(self, name: str) -> Iterator[tuple[KeyPattern, Sequence[KeyringEntry]]]:
        """Yield the entries whose key matches a lookup name, by normalized key, in no particular order."""
        host, port = _split_port(name.partition("/")[0])
        for candidates in (self._by_host.get((host, port)), self._with_globs.get((host.count("."), port))):
            for pattern, entries in (candidates or {}).items():
                if pattern.matches(name):
                    yield pattern, entries

    def for_docker_hub(self) -> Sequence[KeyringEntry]:
        """Return the entries under Docker Hub's old key, which count only where no other key matches."""
        return self._by_host.get((_DOCKER_HUB_KEY, ""), {}).get(KeyPattern(host=_DOCKER_HUB_KEY, path=""), ())


class KeyringMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A credential whose key matches an image."""

    entry: KeyringEntry
    key: str
    """The normalized key: equal for keys that mean the same."""

    keyring: int
    """The index of the keyring that has the entry."""


def match_keyrings(keyrings: Sequence[Keyring], name: str) -> list[KeyringMatch]:
    """Match a lookup name against several keyrings as if they were one: the most specific key first.

    Under equal keys the order of the keyrings counts, then that of their entries.
    """
    found = [
        KeyringMatch(entry=entry, key=pattern.text, keyring=number)
        for number, keyring in enumerate(keyrings)
        for pattern, entries in keyring.matching(name)
        for entry in entries
    ]
    if not found and _is_of_docker_hub(name):
        return [
            KeyringMatch(entry=entry, key=_DOCKER_HUB_KEY, keyring=number)
            for number, keyring in enumerate(keyrings)
            for entry in keyring.for_docker_hub()
        ]
    # Reverse byte order: a longer path before the path it begins with, a host before a pattern for it.
    return sorted(found, key=lambda match: match.key.encode("utf-8", "replace"), reverse=True)


def why_key_never(key: str) -> str | None:
    """Explain why no image can match a key of a pull secret; None if one can, or if the key cannot be parsed."""
    pattern = KeyPattern.parse(key)
    if pattern is None:
        return None
    pattern = pattern.without_api_version()
    return None if pattern.text == _DOCKER_HUB_KEY else pattern.why_never()


def _split_at_mark(path: str) -> tuple[str, str, str]:
    """Split at the first character that no repository name contains: before, that character, after."""
    mark = next((c for c in path if c in _MARKS), "")
    before, _, rest = path.partition(mark) if mark else (path, "", "")
    return "" if before == "/" else before, mark, rest


def _may_be_registry(host: str) -> bool:
    """Whether the name of an image can have a registry that the pattern matches."""
    for letter in "aA":  # a word with an upper-case letter is parsed as a registry
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
    """`*` matches any number of characters. No backtracking: each piece is matched where it occurs first."""
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
