"""What a program is asked and what it answers: CredentialProviderRequest and CredentialProviderResponse.

The answer is full of secrets, so no message here quotes anything of it, not even the names of its members.
"""

import msgspec

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.credentials.provider import CacheKeyType, ProvidedCredentials
from nodeprefetch.duration import parse_duration
from nodeprefetch.errors import UsageError
from nodeprefetch_kubelet.documents import read_json
from nodeprefetch_kubelet.errors import DocumentError, KubeletProviderError
from nodeprefetch_kubelet.versions import PROVIDER_VERSIONS

_KIND = "CredentialProviderResponse"


class _Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "_Login(…)"


class _Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Everything may be absent or null here: what must be there is said in words of ours."""

    api_version: str | None = None
    kind: str | None = None
    cache_key_type: str | None = None
    cache_duration: str | None = None
    auth: dict[str, _Login | None] | None = None


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


def decode_response(body: bytes, api_version: str, default_cache_duration: float) -> ProvidedCredentials:
    """Read an answer, as strictly as the kubelet does.

    Args:
        body: what the program wrote.
        api_version: the one it was asked in, which must be the answer's.
        default_cache_duration: seconds; counts where the answer does not say how long it holds.

    Raises:
        KubeletProviderError: it is no such answer.
    """
    response = _decode(body)
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


def _decode(body: bytes) -> _Response:
    if not body.strip():
        raise KubeletProviderError("it wrote no answer")
    try:
        document = read_json(body)
        response = msgspec.convert(document.value, _Response)
    except DocumentError as error:
        raise KubeletProviderError(f"its answer is {error}") from None
    except msgspec.ValidationError as error:
        # Of an unknown member the text has the name; of a wrong type it has types, and names that are ours.
        unknown = str(error).startswith("Object contains unknown field")
        problem = "has a member that the protocol does not know" if unknown else f"does not fit the protocol: {error}"
        raise KubeletProviderError(f"its answer {problem}") from None
    if document.duplicates:
        raise KubeletProviderError("its answer has a member that stands twice")
    return response


def _auth_config(login: _Login) -> AuthConfig:
    return AuthConfig(username=login.username or "", password=login.password or "")


def _cache_key_type(text: str | None) -> CacheKeyType:
    try:
        return CacheKeyType(text or "")
    except ValueError:
        fault = "has another cacheKeyType than" if text else "lacks the cacheKeyType:"
        raise KubeletProviderError(f"its answer {fault} {', '.join(CacheKeyType)}") from None


def _cache_duration(text: str | None, default: float) -> float | None:
    """None: not to be used again, which an answer says by 0."""
    if text is None:
        return default or None
    try:
        return parse_duration(text) or None
    except UsageError:
        raise KubeletProviderError("its answer's cacheDuration is no duration of 0 or more, like 5m0s") from None
