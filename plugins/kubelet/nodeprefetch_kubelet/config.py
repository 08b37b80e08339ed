"""One CredentialProviderConfig, read and validated by the kubelet's rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodeprefetch.credentials.keyring import KeyPattern
from nodeprefetch.duration import parse_duration
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.imageref import quote
from nodeprefetch_kubelet.documents import read_document
from nodeprefetch_kubelet.errors import DocumentError
from nodeprefetch_kubelet.members import Members
from nodeprefetch_kubelet.tokenattributes import TokenAttributes, read_token_attributes
from nodeprefetch_kubelet.versions import (
    CONFIG_VERSIONS,
    PROVIDER_VERSIONS,
    TOKEN_CONFIG_VERSION,
    TOKEN_PROVIDER_VERSION,
)

KIND = "CredentialProviderConfig"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderConfig:
    """What one program is asked for, and how."""

    where: str
    """Where it stands, for messages: `config.yaml: providers[1] "x"`."""

    name: str
    """The program's file name."""

    match_images: tuple[KeyPattern, ...]
    default_cache_duration: float
    """Seconds, for answers that do not say; 0: not at all."""

    api_version: str
    """The one of request and answer."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Set for the program, over what it inherits."""

    token: TokenAttributes | None = None


def parse_config(data: bytes, where: str, problems: Problems) -> list[ProviderConfig]:
    """Read one file.

    Args:
        data: what is in it.
        where: its name, for messages.
        problems: gets everything that is wrong. What is returned can be used only if nothing was.
    """
    try:
        document = read_document(data)
    except DocumentError as error:
        problems.add(f"{where}: {error}")
        return []
    for duplicate in document.duplicates:
        problems.add(f"{where}: {quote(duplicate)} stands twice in one object")
    config = Members(document.value, where, problems)
    api_version = _one_of(config, "apiVersion", CONFIG_VERSIONS)
    _one_of(config, "kind", (KIND,))
    providers = [
        _parse_provider(value, f"{where}: providers[{n}]", api_version, problems)
        for n, value in enumerate(config.items("providers"))
    ]
    config.refuse_others()
    return providers


def _parse_provider(value: object, where: str, config_version: str, problems: Problems) -> ProviderConfig:
    if isinstance(value, dict) and isinstance(name := value.get("name"), str) and name:
        where = f"{where} {quote(name)}"
    members = Members(value, where, problems)
    provider = ProviderConfig(
        where=where,
        name=_read_name(members),
        match_images=_read_patterns(members),
        default_cache_duration=_read_duration(members),
        api_version=_one_of(members, "apiVersion", PROVIDER_VERSIONS),
        args=members.texts("args"),
        env=_read_env(members),
        token=_read_token(members, config_version),
    )
    if provider.token and provider.api_version in PROVIDER_VERSIONS[1:]:
        members.problem(f"`tokenAttributes` need the apiVersion {TOKEN_PROVIDER_VERSION}")
    members.refuse_others()
    return provider


def _one_of(members: Members, name: str, known: tuple[str, ...]) -> str:
    value = members.text(name)
    if value and value not in known:
        members.problem(f"`{name}` is {quote(value)}, which is not {' or '.join(known)}")
    return value


def _read_name(members: Members) -> str:
    name = members.text("name")
    if "/" in name or name in {".", ".."}:
        members.problem(
            "`name` must be the name of a file in the directory of the programs, and cannot lead out of it: "
            "no slash, and neither . nor .."
        )
    elif any(c.isspace() for c in name):
        members.problem("`name` has a blank in it")
    return name


def _read_patterns(members: Members) -> tuple[KeyPattern, ...]:
    texts = members.texts("matchImages")
    if not texts:
        members.problem("`matchImages` is missing or empty: the program would never be asked")
    patterns: list[KeyPattern] = []
    for n, text in enumerate(texts):
        pattern = KeyPattern.parse(text)
        if pattern is None:
            members.problem(f"`matchImages[{n}]`: {quote(text)} is no host, host:port or host/path")
        else:
            patterns.append(pattern)
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
        name = variable.text("name")
        if "=" in name:
            variable.problem("`name` has a = in it")
        env[name] = variable.optional_text("value")
        variable.refuse_others()
    return env


def _read_token(members: Members, config_version: str) -> TokenAttributes | None:
    attributes = members.child("tokenAttributes")
    if attributes is None:
        return None
    if config_version in CONFIG_VERSIONS[1:]:
        members.problem(f"`tokenAttributes` need a configuration of {TOKEN_CONFIG_VERSION}")
    return read_token_attributes(attributes)
