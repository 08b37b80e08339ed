"""One CredentialProviderConfig, read and validated by the kubelet's rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nodeprefetch.credentials.keyring import KeyPattern
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.values.duration import parse_duration
from nodeprefetch.values.image_ref import quote
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


def parse_config(data: bytes, where: str, problems: Problems, warn: Callable[[str], None]) -> list[ProviderConfig]:
    """Read one file. What Kubernetes 1.30 takes is taken, with a warning where newer kubelets refuse it.

    Args:
        data: what is in it.
        where: its name, for messages.
        problems: gets everything that is wrong. What is returned can be used only if nothing was.
        warn: is told what is odd, without values of variables.
    """
    try:
        document = read_document(data)
    except DocumentError as error:
        problems.add(f"{where}: {error}")
        return []
    for duplicate in document.duplicates:
        warn(f"{where}: duplicate field {quote(duplicate)}, the last one counts")
    if document.has_more:
        warn(f"{where}: several YAML documents, only the first is read")
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
        members.problem(f"`{name}` is {quote(value)}, which is not {' or '.join(known)}")
    return value


def _read_name(members: Members) -> str:
    name = members.text("name")
    if "/" in name or name in {".", ".."}:
        members.problem(
            "`name` must be the name of a file in the directory of the programs, and cannot lead out of it: "
            "no slash, and neither . nor .."
        )
    elif " " in name:
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
            variable.warning("`name` is missing or empty, the variable is ignored")
        elif "=" in name:
            variable.warning("`name` contains =: what follows it becomes part of the value")
        variable.mention_others()
        # As a program sees it: variables are handed over as NAME=VALUE.
        name, _, value = f"{name}={value}".partition("=")
        if name:
            env[name] = value
    return env


def _read_token(members: Members, config_version: str, api_version: str) -> TokenAttributes | None:
    """Kubelets before 1.33 do not know tokens, and ignore whatever is said of them."""
    problems = Problems()
    attributes = members.child("tokenAttributes", problems)
    if attributes is None:
        return None
    if config_version in CONFIG_VERSIONS[1:]:
        attributes.problem(f"needs a configuration of {TOKEN_CONFIG_VERSION}")
    if api_version in PROVIDER_VERSIONS[1:]:
        attributes.problem(f"needs the apiVersion {TOKEN_PROVIDER_VERSION}")
    token = read_token_attributes(attributes)
    try:
        problems.raise_if_any()
    except UsageError as error:
        for problem in error.problems:
            members.warn(f"{problem}; tokenAttributes are ignored")
        return None
    return token
