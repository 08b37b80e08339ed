"""Parses a CredentialProviderConfig and validates it by the kubelet's rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nodeprefetch.credentials import KeyPattern, Problems, UsageError, parse_duration, quote
from nodeprefetch_kubelet.documents import read_document
from nodeprefetch_kubelet.errors import DocumentError
from nodeprefetch_kubelet.members import Members
from nodeprefetch_kubelet.token_attributes import TokenAttributes, read_token_attributes
from nodeprefetch_kubelet.versions import (
    CONFIG_VERSIONS,
    PROVIDER_VERSIONS,
    TOKEN_CONFIG_VERSION,
    TOKEN_PROVIDER_VERSION,
)

KIND = "CredentialProviderConfig"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderConfig:
    """The configuration of one program."""

    where: str
    """Its place, for messages: `config.yaml: providers[1] "x"`."""

    name: str
    """The program's file name."""

    match_images: tuple[KeyPattern, ...]
    default_cache_duration: float
    """Seconds, for responses without cacheDuration; 0: not cached."""

    api_version: str
    """The version of request and response."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables set for the program in addition to those it inherits."""

    token: TokenAttributes | None = None


def parse_config(data: bytes, where: str, problems: Problems, warn: Callable[[str], None]) -> list[ProviderConfig]:
    """Parse one file. Accepts what Kubernetes 1.30 accepts, with a warning if newer kubelets reject it.

    Args:
        data: its content.
        where: its name, for messages.
        problems: collects all problems. The result is usable only if there are none.
        warn: called with each warning, without the values of variables.
    """
    try:
        document = read_document(data)
    except DocumentError as error:
        problems.add(f"{where}: {error}")
        return []
    for duplicate in document.duplicates:
        warn(f"{where}: duplicate field {quote(duplicate)}; the last one is used")
    if document.has_more:
        warn(f"{where}: multiple YAML documents; only the first is read")
    config = Members(document.value, where, problems, warn)
    api_version = _one_of(config, "apiVersion", CONFIG_VERSIONS)
    _one_of(config, "kind", (KIND,))
    providers = [
        _parse_provider(value, f"{where}: providers[{n}]", api_version, problems, warn)
        for n, value in enumerate(config.items("providers"))
    ]
    config.mention_others()
    return providers


def _parse_provider(
    value: object, where: str, config_version: str, problems: Problems, warn: Callable[[str], None]
) -> ProviderConfig:
    if isinstance(value, dict) and isinstance(name := value.get("name"), str) and name:
        where = f"{where} {quote(name)}"
    members = Members(value, where, problems, warn)
    provider = ProviderConfig(
        where=where,
        name=_read_name(members),
        match_images=_read_patterns(members),
        default_cache_duration=_read_duration(members),
        api_version=(api_version := _one_of(members, "apiVersion", PROVIDER_VERSIONS)),
        args=members.texts("args"),
        env=_read_env(members),
        token=_read_token(members, config_version, api_version),
    )
    members.mention_others()
    return provider


def _one_of(members: Members, name: str, known: tuple[str, ...]) -> str:
    value = members.text(name)
    if value and value not in known:
        members.problem(f"`{name}` must be {' or '.join(known)}, not {quote(value)}")
    return value


def _read_name(members: Members) -> str:
    name = members.text("name")
    if "/" in name or name in {".", ".."}:
        members.problem("`name` must be a file name in the directory of the binaries: no slash, and not . or ..")
    elif " " in name:
        members.problem("`name` must not contain spaces")
    return name


def _read_patterns(members: Members) -> tuple[KeyPattern, ...]:
    texts = members.texts("matchImages")
    if not texts:
        members.problem("`matchImages` is missing or empty (the binary would never run)")
    patterns: list[KeyPattern] = []
    for n, text in enumerate(texts):
        pattern = KeyPattern.parse(text)
        if pattern is None:
            members.problem(f"`matchImages[{n}]`: {quote(text)} must be a host, host:port or host/path")
            continue
        patterns.append(pattern)
        if never := pattern.why_never():
            members.warning(f"`matchImages[{n}]`: {quote(text)} never matches an image: {never}")
    return tuple(patterns)


def _read_duration(members: Members) -> float:
    text = members.text("defaultCacheDuration")
    try:
        return parse_duration(text) if text else 0.0
    except UsageError as error:
        members.problem(f"`defaultCacheDuration`: {error}")
        return 0.0


def _read_env(members: Members) -> dict[str, str]:
    env: dict[str, str] = {}
    for variable in members.objects("env"):
        name, value = variable.optional_text("name"), variable.optional_text("value")
        if not name:
            variable.warning("`name` is missing or empty; the variable is ignored")
        elif "=" in name:
            variable.warning("`name` contains =; the rest becomes part of the value")
        variable.mention_others()
        # As the program sees it: the environment is passed as NAME=VALUE.
        name, _, value = f"{name}={value}".partition("=")
        if name:
            env[name] = value
    return env


def _read_token(members: Members, config_version: str, api_version: str) -> TokenAttributes | None:
    """Kubelets before 1.33 do not support tokens, and ignore invalid tokenAttributes."""
    problems = Problems()
    attributes = members.child("tokenAttributes", problems)
    if attributes is None:
        return None
    if config_version in CONFIG_VERSIONS[1:]:
        attributes.problem(f"requires a configuration of {TOKEN_CONFIG_VERSION}")
    if api_version in PROVIDER_VERSIONS[1:]:
        attributes.problem(f"requires apiVersion {TOKEN_PROVIDER_VERSION}")
    token = read_token_attributes(attributes)
    try:
        problems.raise_if_any()
    except UsageError as error:
        for problem in error.problems:
            members.warn(f"{problem}; tokenAttributes ignored")
        return None
    return token
