"""What a program is asked and what it answers: CredentialProviderRequest and CredentialProviderResponse.

The answer is full of secrets, so no message here quotes anything of it, not even the names of its members.
"""

from collections.abc import Callable

import msgspec

from nodeprefetch.credentials.api import CacheKeyType, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.values.duration import parse_duration
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
    """Everything may be absent or null here: what must be there is said in words of ours."""

    api_version: str | None = None
    kind: str | None = None
    cache_key_type: str | None = None
    cache_duration: str | None = None
    auth: dict[str, _Login | None] | None = None


_FIELDS = frozenset(_Response.__struct_encode_fields__)
_LOGIN_FIELDS = frozenset(_Login.__struct_encode_fields__)


def encode_request(api_version: str, image: str, token: str | None = None) -> bytes:
    """The request for an image, as JSON on one line.

    Args:
        api_version: the one in the provider's configuration.
        image: its lookup name.
        token: a service account's; only v1 knows it.
    """
    request = {"apiVersion": api_version, "kind": "CredentialProviderRequest", "image": image}
    if token is not None:
        request["serviceAccountToken"] = token
    return msgspec.json.encode(request) + b"\n"


def decode_response(
    body: bytes, api_version: str, default_cache_duration: float, warn: Callable[[str], None]
) -> ProvidedCredentials:
    """Read an answer. What Kubernetes 1.30 takes is taken, with a warning where newer kubelets refuse it.

    Args:
        body: what the program wrote.
        api_version: the one it was asked in, which must be the answer's.
        default_cache_duration: seconds; counts where the answer does not say how long it holds.
        warn: is told what is odd, without anything of the answer.

    Raises:
        KubeletProviderError: it is no such answer.
    """
    response = _decode(body, warn)
    if response.kind != _KIND:
        fault = "has another kind than" if response.kind else "lacks the kind"
        raise KubeletProviderError(f"its answer {fault} {_KIND}")
    if response.api_version != api_version:
        other = "another apiVersion" if response.api_version else "none"
        got = response.api_version if response.api_version in PROVIDER_VERSIONS else other
        raise KubeletProviderError(f"it was asked in {api_version} and answered in {got}")
    return ProvidedCredentials(
        entries=tuple(
            KeyringEntry(key=key, auth=_auth_config(login or _Login())) for key, login in (response.auth or {}).items()
        ),
        cache_key_type=_cache_key_type(response.cache_key_type),
        cache_duration=_cache_duration(response.cache_duration, default_cache_duration),
    )


def passwords_in(body: bytes) -> list[str]:
    """What can be found of secrets in an answer, also in one that is refused."""
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
        raise KubeletProviderError("it wrote no answer")
    try:
        document = read_json(body)
        response = msgspec.convert(document.value, _Response)
    except DocumentError as error:
        raise KubeletProviderError(f"its answer is {error}") from None
    except msgspec.ValidationError as error:
        # The text has types, and names that are ours.
        raise KubeletProviderError(f"its answer does not fit the protocol: {error}") from None
    if document.duplicates:
        warn("its answer has a duplicate field, the last one counts")
    if _has_unknown_fields(document.value):
        warn("its answer has an unknown field, ignored")
    return response


def _has_unknown_fields(answer: object) -> bool:
    """Of an answer that fits the protocol otherwise."""
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
        fault = "has another cacheKeyType than" if text else "lacks the cacheKeyType:"
        raise KubeletProviderError(f"its answer {fault} {', '.join(CacheKeyType)}") from None


def _cache_duration(text: str | None, default: float) -> float | None:
    """None: not to be used again, which an answer says by 0, or by what is past already."""
    if text is None:
        return default or None
    try:
        seconds = parse_duration(text.removeprefix("-"))
        return None if text.startswith("-") else seconds or None
    except UsageError:
        raise KubeletProviderError("its answer's cacheDuration is not a duration like 5m0s") from None
