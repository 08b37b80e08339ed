"""Encodes a CredentialProviderRequest and decodes a CredentialProviderResponse.

A response is full of secrets, so no message here quotes any of it, not even the names of its fields.
"""

from collections.abc import Callable

import msgspec

from nodeprefetch.credentials import (
    AuthConfig,
    CacheKeyType,
    KeyringEntry,
    ProvidedCredentials,
    UsageError,
    parse_duration,
)
from nodeprefetch_kubelet.documents import read_json
from nodeprefetch_kubelet.errors import DocumentError, KubeletProviderError
from nodeprefetch_kubelet.versions import PROVIDER_VERSIONS

_KIND = "CredentialProviderResponse"


class _Login(msgspec.Struct, frozen=True):
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "_Login(…)"


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    """All fields may be absent or null here, so that the messages about required fields are ours."""

    api_version: str | None = None
    kind: str | None = None
    cache_key_type: str | None = None
    cache_duration: str | None = None
    auth: dict[str, _Login | None] | None = None


_FIELDS = frozenset(_Response.__struct_encode_fields__)
_LOGIN_FIELDS = frozenset(_Login.__struct_encode_fields__)


def encode_request(api_version: str, image: str, token: str | None = None) -> bytes:
    """Encode the request for an image as JSON on one line.

    Args:
        api_version: that of the program's configuration.
        image: its lookup name.
        token: of a service account; only v1 supports it.
    """
    request = {"apiVersion": api_version, "kind": "CredentialProviderRequest", "image": image}
    if token is not None:
        request["serviceAccountToken"] = token
    return msgspec.json.encode(request) + b"\n"


def decode_response(
    body: bytes, api_version: str, default_cache_duration: float, warn: Callable[[str], None]
) -> ProvidedCredentials:
    """Decode a response. Accepts what Kubernetes 1.30 accepts, with a warning if newer kubelets reject it.

    Args:
        body: the program's stdout.
        api_version: that of the request, which the response must have too.
        default_cache_duration: seconds, for a response without cacheDuration.
        warn: called with each warning; quotes nothing of the response.

    Raises:
        KubeletProviderError: it is not a valid response.
    """
    response = _decode(body, warn)
    if response.kind != _KIND:
        fault = "wrong kind" if response.kind else "kind is missing"
        raise KubeletProviderError(f"invalid response: {fault} (must be {_KIND})")
    if response.api_version != api_version:
        other = "another" if response.api_version else "none"
        got = response.api_version if response.api_version in PROVIDER_VERSIONS else other
        raise KubeletProviderError(f"invalid response: requested apiVersion {api_version}, got {got}")
    return ProvidedCredentials(
        entries=tuple(
            KeyringEntry(key=key, auth=_auth_config(login or _Login())) for key, login in (response.auth or {}).items()
        ),
        cache_key_type=_cache_key_type(response.cache_key_type),
        cache_duration=_cache_duration(response.cache_duration, default_cache_duration),
    )


def passwords_in(body: bytes) -> list[str]:
    """Find the passwords in a response, also in an invalid one."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return []
    auth = document.get("auth") if isinstance(document, dict) else None
    logins = auth.values() if isinstance(auth, dict) else ()
    passwords = (login.get("password") for login in logins if isinstance(login, dict))
    return [password for password in passwords if isinstance(password, str)]


def _decode(body: bytes, warn: Callable[[str], None]) -> _Response:
    if not body.strip():
        raise KubeletProviderError("produced no output")
    try:
        document = read_json(body)
        response = msgspec.convert(document.value, _Response)
    except DocumentError as error:
        raise KubeletProviderError(f"invalid response: {error}") from None
    except msgspec.ValidationError as error:
        # The text contains only types and our own names.
        raise KubeletProviderError(f"invalid response: {error}") from None
    if document.duplicates:
        warn("response contains a duplicate field; the last one is used")
    if _has_unknown_fields(document.value):
        warn("response contains an unknown field, ignored")
    return response


def _has_unknown_fields(answer: object) -> bool:
    """Whether an otherwise valid response has fields that the protocol does not define."""
    if not isinstance(answer, dict):
        return False
    logins = (login for login in (answer.get("auth") or {}).values() if login)
    return not _FIELDS.issuperset(answer) or any(not _LOGIN_FIELDS.issuperset(login) for login in logins)


def _auth_config(login: _Login) -> AuthConfig:
    return AuthConfig(username=login.username or "", password=login.password or "")


def _cache_key_type(text: str | None) -> CacheKeyType:
    try:
        return CacheKeyType(text or "")
    except ValueError:
        fault = "unknown cacheKeyType" if text else "cacheKeyType is missing"
        raise KubeletProviderError(f"invalid response: {fault} (must be {', '.join(CacheKeyType)})") from None


def _cache_duration(text: str | None, default: float) -> float | None:
    """Return seconds, or None if the response must not be cached: its duration is 0 or negative."""
    if text is None:
        return default or None
    try:
        seconds = parse_duration(text.removeprefix("-"))
        return None if text.startswith("-") else seconds or None
    except UsageError:
        raise KubeletProviderError("invalid response: cacheDuration must be a duration like 5m0s") from None
