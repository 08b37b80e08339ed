"""Parses pull secrets: payloads of `kubernetes.io/dockerconfigjson` and `kubernetes.io/dockercfg`."""

import base64
import binascii

import msgspec

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry, why_key_never
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import quote

_TOKEN_USERS = {"<token>", "00000000-0000-0000-0000-000000000000"}
"""The user names that docker and the Azure registry's tools write beside an identity token, which is what counts."""

_CREDENTIAL_MEMBERS = {"username", "password", "auth", "identitytoken", "registrytoken"}

_NO_LINE_BREAK = "create the Secret again with printf instead of echo"


class DockerConfigError(UsageError, ValueError):
    """Raised when a payload as a whole cannot be parsed. Its text does not quote the payload."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


class DockerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed payload."""

    entries: tuple[KeyringEntry, ...] = ()
    """In the order of the payload."""

    warnings: tuple[str, ...] = ()
    """Entries that were skipped or are unusual, by key, without secrets."""


class _EntryError(Exception):
    """Raised when one entry is invalid."""


def parse_docker_config(data: bytes) -> DockerConfig:
    """Parse a `.dockerconfigjson`: an object whose `auths` maps keys to credentials.

    Credential helpers and stores are ignored: they are programs on the machine where the file was written.

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
    return DockerConfig(warnings=("no `auths`, so no credentials",))


def parse_legacy_docker_config(data: bytes) -> DockerConfig:
    """Parse a `.dockercfg`, which is the map of keys to credentials itself.

    Raises:
        DockerConfigError: not JSON, or not an object.
    """
    return _read_entries(_read_object(data))


def parse_by_content(data: bytes) -> DockerConfig:
    """Parse a payload of either type, for a file whose name does not say which.

    With `auths` it is a `.dockerconfigjson`, whatever else it contains. Without, it is a `.dockercfg` if any of its
    fields looks like a credential, otherwise a `.dockerconfigjson` without credentials.

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
        # The decoder names a position and quotes nothing.
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
            warnings.append(f"key {quote(key)} skipped: {error}")
            continue
        entries.append(KeyringEntry(key=key, auth=auth))
        if auth == AuthConfig():
            warnings.append(f"key {quote(key)} has no user name, password or token: pulls will be anonymous")
        if auth.password.endswith(("\n", "\r")):
            warnings.append(
                f"key {quote(key)} has a password that ends with a line break, which is sent too ({_NO_LINE_BREAK})"
            )
        if never := why_key_never(key):
            warnings.append(f"key {quote(key)} never matches an image: {never}")
    return DockerConfig(entries=tuple(entries), warnings=tuple(warnings))


def _read_auth(value: object) -> AuthConfig:
    if value is None:
        return AuthConfig()
    if not isinstance(value, dict):
        raise _EntryError(f"must be an object, not {_kind(value)}")
    members: dict[str, str] = {}
    for name, text in value.items():
        lowered = name.lower()
        if lowered not in {"username", "password", "email", "auth", "identitytoken"} or text is None:
            continue
        if not isinstance(text, str):
            raise _EntryError(f"`{lowered}` must be a string, not {_kind(text)}")
        members[lowered] = text
    username, password = members.get("username", ""), members.get("password", "")
    if members.get("auth"):
        username, password = _decode_auth(members["auth"])
    identity_token = members.get("identitytoken", "")
    has_registry_token = any(name.lower() == "registrytoken" and token for name, token in value.items())
    if (identity_token or has_registry_token) and not password and username in _TOKEN_USERS:
        username = ""  # with a user name, a runtime ignores the token
    if has_registry_token and not (username or password or identity_token):
        raise _EntryError("it has only a `registrytoken`, which no container runtime uses")
    return AuthConfig(username=username, password=password, identity_token=identity_token)


def _decode_auth(auth: str) -> tuple[str, str]:
    """Decode base64 of `user:password`, padded or not, in the standard alphabet; split at the first colon."""
    digits = auth.replace("\r", "").replace("\n", "")
    if not auth.strip().endswith("="):
        if len(digits) % 4 == 1:
            raise _EntryError("`auth` is not valid base64")
        digits += "=" * (-len(digits) % 4)
    try:
        if len(digits) % 4:
            raise _EntryError("`auth` is not valid base64: wrong padding")
        user_and_password = base64.b64decode(digits, validate=True).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _EntryError("`auth` decodes to invalid UTF-8") from error
    except (binascii.Error, ValueError) as error:
        raise _EntryError("`auth` is not valid base64") from error
    username, colon, password = user_and_password.partition(":")
    if not colon:
        raise _EntryError("`auth` must be base64 of user:password, but has no colon")
    return username, password


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
