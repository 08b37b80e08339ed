"""Pull secrets: what the payloads of `kubernetes.io/dockerconfigjson` and `kubernetes.io/dockercfg` hold."""

import base64
import binascii
from dataclasses import dataclass

import msgspec

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry, why_key_never
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import quote

_TOKEN_USERS = {"<token>", "00000000-0000-0000-0000-000000000000"}
"""What docker, and the Azure registry's tools, write as user where the identity token is what counts."""

_CREDENTIAL_MEMBERS = {"username", "password", "auth", "identitytoken", "registrytoken"}

_NO_LINE_BREAK = "create the Secret again, with printf in place of echo"


class DockerConfigError(UsageError, ValueError):
    """Raised when a payload as a whole cannot be read. Its text says nothing of what is in it."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerConfig:
    """A payload, read."""

    entries: tuple[KeyringEntry, ...] = ()
    """In order of appearance."""

    warnings: tuple[str, ...] = ()
    """What was left out or is odd, named by its key, without anything that is secret."""


class _EntryError(Exception):
    """What is wrong with one entry."""


def parse_docker_config(data: bytes) -> DockerConfig:
    """Read a `.dockerconfigjson`: an object whose `auths` maps keys to credentials.

    Credential helpers and stores are programs of the machine where the file was written, and are ignored.

    Raises:
        DockerConfigError: not JSON, or not such an object.
    """
    config = _read_object(data)
    auths: dict[str, object] = {}
    found = False
    for name, value in config.items():
        if name.lower() == "auths" and value is not None:
            if not isinstance(value, dict):
                raise DockerConfigError(f"`auths` must be an object, not {_kind(value)}")
            auths.update(value)
            found = True
    read = _read_entries(auths)
    if found:
        return read
    return DockerConfig(warnings=("no `auths` in it, so no credentials",))


def parse_legacy_docker_config(data: bytes) -> DockerConfig:
    """Read a `.dockercfg`: the map of credentials itself.

    Raises:
        DockerConfigError: not JSON, or not an object.
    """
    return _read_entries(_read_object(data))


def parse_by_content(data: bytes) -> DockerConfig:
    """Read either payload, where the name of its file does not say which it is.

    With `auths` in it, it is a `.dockerconfigjson`, whatever else is in it. Without, it is a `.dockercfg` if any of its
    members looks like a credential, and else a `.dockerconfigjson` without credentials.

    Raises:
        DockerConfigError: not JSON, or not an object.
    """
    config = _read_object(data)
    has_auths = any(name.lower() == "auths" for name in config)
    if not has_auths and any(_looks_like_a_credential(value) for value in config.values()):
        return parse_legacy_docker_config(data)
    return parse_docker_config(data)


def _looks_like_a_credential(value: object) -> bool:
    return isinstance(value, dict) and any(name.lower() in _CREDENTIAL_MEMBERS for name in value)


def _read_object(data: bytes) -> dict[str, object]:
    try:
        config = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The decoder names a position, never what stands there.
        raise DockerConfigError(f"not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DockerConfigError(f"must be a JSON object, not {_kind(config)}")
    return config


def _read_entries(auths: dict[str, object]) -> DockerConfig:
    entries: list[KeyringEntry] = []
    warnings: list[str] = []
    for key, value in auths.items():
        try:
            auth = _read_auth(value)
        except _EntryError as error:
            warnings.append(f"key {quote(key)} is left out: {error}")
            continue
        entries.append(KeyringEntry(key=key, auth=auth))
        if auth == AuthConfig():
            warnings.append(f"key {quote(key)} has no user name, password or token: it pulls as nobody")
        if auth.password.endswith(("\n", "\r")):
            warnings.append(
                f"key {quote(key)} has a password that ends in a line break, which is sent too: {_NO_LINE_BREAK}"
            )
        if never := why_key_never(key):
            warnings.append(f"key {quote(key)} never matches an image: {never}")
    return DockerConfig(entries=tuple(entries), warnings=tuple(warnings))


def _read_auth(value: object) -> AuthConfig:
    if value is None:
        return AuthConfig()
    if not isinstance(value, dict):
        raise _EntryError(f"it must be an object, not {_kind(value)}")
    members: dict[str, str] = {}
    for name, text in value.items():
        lowered = name.lower()
        if lowered not in {"username", "password", "email", "auth", "identitytoken"} or text is None:
            continue
        if not isinstance(text, str):
            raise _EntryError(f"its `{lowered}` must be a string, not {_kind(text)}")
        members[lowered] = text
    username, password = members.get("username", ""), members.get("password", "")
    if members.get("auth"):
        username, password = _decode_auth(members["auth"])
    identity_token = members.get("identitytoken", "")
    has_registry_token = any(name.lower() == "registrytoken" and token for name, token in value.items())
    if (identity_token or has_registry_token) and not password and username in _TOKEN_USERS:
        username = ""  # a runtime that is given a user name does not look at the token
    if has_registry_token and not (username or password or identity_token):
        raise _EntryError("it has a `registrytoken` only, which no container runtime uses")
    return AuthConfig(username=username, password=password, identity_token=identity_token)


def _decode_auth(auth: str) -> tuple[str, str]:
    """Base64 of `user:password`, padded or not, in the standard alphabet, parted at the first colon."""
    digits = auth.replace("\r", "").replace("\n", "")
    if not auth.strip().endswith("="):
        if len(digits) % 4 == 1:
            raise _EntryError("its `auth` is not base64")
        digits += "=" * (-len(digits) % 4)
    try:
        if len(digits) % 4:
            raise _EntryError("its `auth` is not base64: the padding is wrong")
        user_and_password = base64.b64decode(digits, validate=True).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _EntryError("its `auth` decodes to something that is not UTF-8") from error
    except (binascii.Error, ValueError) as error:
        raise _EntryError("its `auth` is not base64") from error
    username, colon, password = user_and_password.partition(":")
    if not colon:
        raise _EntryError("its `auth` must be base64 of user:password, but there is no colon in it")
    return username, password


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
