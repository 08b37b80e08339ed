"""`ImageRef`: an image name, parsed and normalized as Docker and the kubelet do."""

import re
from typing import Self

import msgspec

from nodeprefetch.errors import UsageError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
MAX_PATH_LENGTH = 255
MAX_TAG_LENGTH = 128

_LEGACY_DEFAULT_DOMAIN = "index.docker.io"
_OFFICIAL_PREFIX = "library/"
_DIGEST_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_SHOWN_LENGTH = 120

# These patterns cannot backtrack far: repeated parts are separated by characters that they cannot match.
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH_PART = re.compile(r"[a-z0-9]+(?:(?:__?|\.|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HEX = re.compile(r"[a-f0-9]+")


class ImageRefError(UsageError, ValueError):
    """Raised when a text is not a valid image name.

    Args:
        text: the invalid name.
        reason: the rule it breaks, and what to write instead.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__([f"{quote(text)}: {reason}"])
        self.text = text
        self.reason = reason


class ImageRef(msgspec.Struct, frozen=True, kw_only=True):
    """An image name, by the reference grammar of the distribution project, as Docker applies it."""

    text: str
    """As the user wrote it."""

    domain: str
    """The registry with its port, as written; `docker.io` if the name has none."""

    path: str
    """The repository in that registry: `library/nginx`."""

    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a name.

        Raises:
            ImageRefError: the name is invalid. Says which rule it breaks.
        """
        _check_common_mistakes(text)
        name, digest = _split_digest(text)
        domain, rest = _split_domain(name)
        path, colon, tag = rest.partition(":")
        if domain == DEFAULT_DOMAIN and "/" not in rest:
            path = _OFFICIAL_PREFIX + path
        # By the grammar, a host must not contain an underscore. It then counts as part of the repository.
        is_domain = _DOMAIN.fullmatch(domain) is not None
        repository = path if is_domain else f"{domain}/{path}"
        reason = (
            _domain_problem(domain, is_domain=is_domain)
            or _path_problem(path)
            or _length_problem(repository)
            or (_tag_problem(tag) if colon else None)
        )
        if reason:
            raise ImageRefError(text, reason)
        return cls(text=text, domain=domain, path=path, tag=tag or None, digest=digest)

    @property
    def registry(self) -> str:
        """The registry with its port. The same as `domain`."""
        return self.domain

    @property
    def lookup_name(self) -> str:
        """Registry and repository, without tag and digest: credentials are looked up by this name."""
        return f"{self.domain}/{self.path}"

    @property
    def normalized(self) -> str:
        """The full name, with the default registry and tag; with tag and digest if both are written."""
        tag = self.tag if self.tag or self.digest else DEFAULT_TAG
        return self.lookup_name + (f":{tag}" if tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def pull_ref(self) -> str:
        """Identifies the image: the full name with the digest if there is one, otherwise with the tag."""
        return f"{self.lookup_name}@{self.digest}" if self.digest else self.normalized


def quote(text: str) -> str:
    """Quote a text for a message: on one line, without invisible characters, limited in length."""
    shown = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
    visible = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return '"' + "".join(visible) + '"'


def _check_common_mistakes(text: str) -> None:
    """Report frequent mistakes with a better message than the grammar has."""
    if not text:
        raise ImageRefError(text, "the name is empty")
    if text.split() != [text]:
        raise ImageRefError(text, "must not contain whitespace")
    if "://" in text:
        scheme = text.partition("://")[0]
        raise ImageRefError(text, f"must not begin with {quote(scheme + '://')}")
    if _IMAGE_ID.fullmatch(text):
        raise ImageRefError(text, "64 hex digits are an image ID, not a name (write repository@sha256:…)")


def _split_digest(text: str) -> tuple[str, str | None]:
    name, at, digest = text.partition("@")
    if not at:
        return name, None
    algorithm, _, digits = digest.partition(":")
    length = _DIGEST_DIGITS.get(algorithm)
    if length is None:
        known = ", ".join(_DIGEST_DIGITS)
        raise ImageRefError(
            text, f"invalid digest after @: must be ALGORITHM:DIGITS, where ALGORITHM is one of {known}"
        )
    if len(digits) != length or not _HEX.fullmatch(digits):
        actual = f", not {len(digits)}" if _HEX.fullmatch(digits) else ""
        raise ImageRefError(text, f"invalid {algorithm} digest: must be {length} lower-case hex digits{actual}")
    return name, digest


def _split_domain(name: str) -> tuple[str, str]:
    """Split off the registry: the part before the first slash, but only if it cannot be a repository."""
    first, slash, rest = name.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, name
    if first in (DEFAULT_DOMAIN, _LEGACY_DEFAULT_DOMAIN):
        return DEFAULT_DOMAIN, rest
    if first == "localhost" or "." in first or ":" in first or first != first.lower():
        return first, rest
    return DEFAULT_DOMAIN, name


def _domain_problem(domain: str, *, is_domain: bool) -> str | None:
    if is_domain or _PATH_PART.fullmatch(domain):
        return None
    return f"{quote(domain)} is not a valid registry: must be HOST or HOST:PORT, with letters, digits, dots and dashes"


def _path_problem(path: str) -> str | None:
    if path != path.lower():
        return f"the repository {quote(path.removeprefix(_OFFICIAL_PREFIX))} must be lower-case"
    for part in path.split("/"):
        if not part:
            return "the repository contains an empty part"
        if not _PATH_PART.fullmatch(part):
            return (
                f"the repository contains an invalid part {quote(part)}: must be lower-case letters and digits, "
                "separated by one dot, one or two underscores, or dashes"
            )
    return None


def _length_problem(repository: str) -> str | None:
    if len(repository) <= MAX_PATH_LENGTH:
        return None
    return f"the repository is too long: {len(repository)} characters (maximum {MAX_PATH_LENGTH})"


def _tag_problem(tag: str) -> str | None:
    if not tag:
        return "the tag is empty"
    if len(tag) > MAX_TAG_LENGTH:
        return f"the tag is too long: {len(tag)} characters (maximum {MAX_TAG_LENGTH})"
    if not _TAG.fullmatch(tag):
        return f"invalid tag {quote(tag)}: must contain only letters, digits, _ . - and not begin with . or -"
    return None
