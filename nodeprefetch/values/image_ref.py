"""`ImageRef`: an image name as the user wrote it, taken apart and normalised as Docker and the kubelet do."""

import re
from dataclasses import dataclass
from typing import Self

from nodeprefetch.errors import UsageError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
MAX_PATH_LENGTH = 255
MAX_TAG_LENGTH = 128

_LEGACY_DEFAULT_DOMAIN = "index.docker.io"
_OFFICIAL_PREFIX = "library/"
_DIGEST_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_SHOWN_LENGTH = 120

# No pattern here can backtrack far: what repeats is always parted by characters that it cannot match itself.
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH_PART = re.compile(r"[a-z0-9]+(?:(?:__?|\.|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HEX = re.compile(r"[a-f0-9]+")


class ImageRefError(UsageError, ValueError):
    """Raised when a text is not the name of an image.

    Args:
        text: what was to be parsed.
        reason: which rule it breaks, and what to write instead.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__([f"{quote(text)}: {reason}"])
        self.text = text
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRef:
    """An image name, by the reference grammar of the distribution project as Docker applies it."""

    text: str
    """As the user wrote it."""

    domain: str
    """The registry: `docker.io` when none was written, else as written, with its port."""

    path: str
    """The repository in that registry: `library/nginx`."""

    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a name apart.

        Raises:
            ImageRefError: one rule that it breaks, in words.
        """
        _refuse_what_is_no_name(text)
        name, digest = _split_digest(text)
        domain, rest = _split_domain(name)
        path, colon, tag = rest.partition(":")
        if domain == DEFAULT_DOMAIN and "/" not in rest:
            path = _OFFICIAL_PREFIX + path
        # A host with an underscore is none by the grammar, which then takes it for part of the repository.
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
        """The registry with its port: another word for the domain."""
        return self.domain

    @property
    def lookup_name(self) -> str:
        """What credentials are looked up by, and plugins are asked for: registry and repository alone."""
        return f"{self.domain}/{self.path}"

    @property
    def normalized(self) -> str:
        """The full name, with the default registry and tag; tag and digest where both were written."""
        return self.lookup_name + self._suffix(DEFAULT_TAG)

    @property
    def pull_ref(self) -> str:
        """What decides which image it is: by digest where there is one, else by tag."""
        return f"{self.lookup_name}@{self.digest}" if self.digest else self.normalized

    @property
    def familiar(self) -> str:
        """The short name, as Docker shows it: without what is default for Docker Hub."""
        name = self.lookup_name
        if self.domain == DEFAULT_DOMAIN:
            repository = self.path.removeprefix(_OFFICIAL_PREFIX)
            name = self.path if "/" in repository else repository
        return name + self._suffix(None)

    @property
    def with_default_tag(self) -> str:
        """What a runtime is sent: as the user wrote it, and `:latest` where neither tag nor digest was."""
        return self.text if self.tag or self.digest else f"{self.text}:{DEFAULT_TAG}"

    def _suffix(self, default_tag: str | None) -> str:
        tag = self.tag if self.tag or self.digest else default_tag
        return (f":{tag}" if tag else "") + (f"@{self.digest}" if self.digest else "")


def quote(text: str) -> str:
    """A text from outside, fit for a message: in quotes, on one line, nothing invisible, not endless."""
    shown = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
    visible = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return '"' + "".join(visible) + '"'


def _refuse_what_is_no_name(text: str) -> None:
    """Name what people get wrong most before the grammar, which could only say that it does not match."""
    if not text:
        raise ImageRefError(text, "the name is empty")
    if any(c.isspace() for c in text):
        raise ImageRefError(text, "blanks are not allowed in a name")
    if "://" in text:
        scheme = text.partition("://")[0]
        raise ImageRefError(text, f"write the name without {quote(scheme + '://')} in front of it")
    if _IMAGE_ID.fullmatch(text):
        raise ImageRefError(text, "64 hex digits are an image ID, not a name; write repository@sha256:… instead")


def _split_digest(text: str) -> tuple[str, str | None]:
    name, at, digest = text.partition("@")
    if not at:
        return name, None
    algorithm, _, digits = digest.partition(":")
    length = _DIGEST_DIGITS.get(algorithm)
    if length is None:
        known = ", ".join(_DIGEST_DIGITS)
        raise ImageRefError(text, f"what follows @ must be a digest, algorithm:digits, by one of {known}")
    if len(digits) != length or not _HEX.fullmatch(digits):
        found = f"these are {len(digits)}" if _HEX.fullmatch(digits) else "these are others"
        raise ImageRefError(text, f"a {algorithm} digest has {length} hex digits in lower case; {found}")
    return name, digest


def _split_domain(name: str) -> tuple[str, str]:
    """What comes before the first slash is a registry only if it cannot be anything else."""
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
    return f"{quote(domain)} is no registry: write host or host:port, of letters, digits, dots and dashes"


def _path_problem(path: str) -> str | None:
    if path != path.lower():
        return f"the repository {quote(path.removeprefix(_OFFICIAL_PREFIX))} must be in lower case"
    for part in path.split("/"):
        if not part:
            return "a part of the repository is empty"
        if not _PATH_PART.fullmatch(part):
            return (
                f"{quote(part)} cannot be part of a repository: lower-case letters and digits, "
                "between them one dot, one or two underscores, or dashes"
            )
    return None


def _length_problem(repository: str) -> str | None:
    if len(repository) <= MAX_PATH_LENGTH:
        return None
    return f"the repository has {len(repository)} characters, more than {MAX_PATH_LENGTH}"


def _tag_problem(tag: str) -> str | None:
    if not tag:
        return "the tag behind the colon is empty"
    if len(tag) > MAX_TAG_LENGTH:
        return f"the tag has {len(tag)} characters, more than {MAX_TAG_LENGTH}"
    if not _TAG.fullmatch(tag):
        return f"the tag {quote(tag)} may hold letters, digits, _ . - only, and begin with neither . nor -"
    return None
