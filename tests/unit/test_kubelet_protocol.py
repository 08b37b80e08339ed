"""What a credential provider program is asked, and what is made of its answer."""

import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodeprefetch_kubelet.errors import KubeletProviderError
from nodeprefetch_kubelet.protocol import _Login, decode_response, encode_request, passwords_in

from nodeprefetch.credentials.api import CacheKeyType, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry

V1 = "credentialprovider.kubelet.k8s.io/v1"
V1BETA1 = "credentialprovider.kubelet.k8s.io/v1beta1"
SECRET = "s3cr3t-of-mine"


def answer(**changes: Any) -> bytes:
    members = {
        "apiVersion": V1,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "auth": {"quay.io": {"username": "u", "password": SECRET}},
    } | changes
    return json.dumps(members).encode()


def decode(body: bytes, default: float = 60, warnings: list[str] | None = None) -> ProvidedCredentials:
    return decode_response(body, V1, default, [].append if warnings is None else warnings.append)


def refusal_of(body: bytes) -> str:
    """What it is refused with, if it is."""
    try:
        decode(body)
    except KubeletProviderError as error:
        return str(error)
    return ""


def test_a_request_is_in_the_version_of_the_configuration() -> None:
    expected = {"apiVersion": V1BETA1, "kind": "CredentialProviderRequest", "image": "quay.io/a/b"}

    assert expected == json.loads(encode_request(V1BETA1, "quay.io/a/b"))


def test_a_request_carries_the_token_where_there_is_one() -> None:
    request = json.loads(encode_request(V1, "quay.io/a/b", "t0ken"))

    assert "t0ken" == request["serviceAccountToken"]
    assert "serviceAccountAnnotations" not in request


def test_an_answer_is_credentials_by_key() -> None:
    auth = {"quay.io/a": {"username": "u1", "password": "p1"}, "*.io": {"password": "p2"}, "x": None, "y": {}}

    assert ProvidedCredentials(
        entries=(
            KeyringEntry(key="quay.io/a", auth=AuthConfig(username="u1", password="p1")),
            KeyringEntry(key="*.io", auth=AuthConfig(password="p2")),
            KeyringEntry(key="x", auth=AuthConfig()),
            KeyringEntry(key="y", auth=AuthConfig()),
        ),
        cache_key_type=CacheKeyType.REGISTRY,
        cache_duration=300.0,
    ) == decode(answer(auth=auth, cacheDuration="5m0s"))


@pytest.mark.parametrize("auth", [None, {}])
def test_an_answer_without_credentials_can_be_remembered_too(auth: Any) -> None:
    assert ProvidedCredentials(cache_key_type=CacheKeyType.REGISTRY, cache_duration=60) == decode(answer(auth=auth))


@pytest.mark.parametrize(
    ("said", "default", "expected"),
    [
        ("5m0s", 60, 300),
        ("0", 60, None),
        ("0s", 60, None),
        (None, 60, 60),
        (None, 0, None),
        ("1h", 0, 3600),
        ("-1s", 60, None),
    ],
)
def test_an_answer_without_a_duration_holds_for_the_default_one(said, default, expected) -> None:
    """A duration of 0 or less is one: the answer is not to be used again, whatever the default."""
    assert expected == decode(answer(cacheDuration=said), default).cache_duration


@pytest.mark.parametrize("text", ["Image", "Registry", "Global"])
def test_an_answer_says_for_what_it_holds(text: str) -> None:
    assert text == decode(answer(cacheKeyType=text)).cache_key_type


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "produced no output"),
        (b" \n", "produced no output"),
        (SECRET.encode(), "invalid response: not JSON: JSON is malformed: invalid character (byte 0)"),
        (answer() + SECRET.encode(), "invalid response: not JSON: JSON is malformed: trailing characters (byte "),
        (answer()[:-3], "invalid response: not JSON: Input data was truncated"),
        (b"[" * 100_000, "invalid response: JSON is nested too deeply"),
        (json.dumps([SECRET]).encode(), "invalid response: Expected `object`, got `array`"),
        (answer(kind=SECRET), "invalid response: wrong kind (must be CredentialProviderResponse)"),
        (answer(kind=None), "invalid response: kind is missing (must be CredentialProviderResponse)"),
        (answer(apiVersion=V1BETA1), f"invalid response: requested apiVersion {V1}, got {V1BETA1}"),
        (answer(apiVersion=SECRET), f"invalid response: requested apiVersion {V1}, got another"),
        (answer(apiVersion=None), f"invalid response: requested apiVersion {V1}, got none"),
        (answer(cacheKeyType=SECRET), "invalid response: unknown cacheKeyType (must be Image, Registry, Global)"),
        (answer(cacheKeyType="registry"), "invalid response: unknown cacheKeyType (must be Image, Registry, Global)"),
        (answer(cacheKeyType=None), "invalid response: cacheKeyType is missing (must be Image, Registry, Global)"),
        (answer(cacheDuration=SECRET), "invalid response: cacheDuration must be a duration like 5m0s"),
        (answer(cacheDuration="--1s"), "invalid response: cacheDuration must be a duration like 5m0s"),
        (
            answer(cacheDuration=300),
            "invalid response: Expected `str | null`, got `int` - at `$.cacheDuration`",
        ),
        (
            answer(auth={SECRET: {"password": 1}}),
            "invalid response: Expected `str | null`, got `int` - at `$.auth[...].password`",
        ),
        (
            answer(auth={SECRET: SECRET}),
            "invalid response: Expected `object | null`, got `str` - at `$.auth[...]`",
        ),
        (answer().replace(b'"u"', b"\xff"), "invalid response: not JSON: JSON is malformed: invalid character (byte "),
        (
            answer().replace(b'"u"', b'"\\ud800"'),
            "invalid response: not JSON: JSON is malformed: unexpected end of escaped utf-16 surrogate pair (byte ",
        ),
    ],
    ids=repr,
)
def test_an_answer_that_is_none_is_refused_without_a_word_of_it(body: bytes, problem: str) -> None:
    with pytest.raises(KubeletProviderError) as caught:
        decode(body)

    assert str(caught.value).startswith(problem)
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (answer(**{SECRET: 1}), "response contains an unknown field, ignored"),
        (
            answer(auth={"quay.io": {"username": "u", SECRET: 1}, "x": None}),
            "response contains an unknown field, ignored",
        ),
        (
            answer().replace(b'"u"', b'"t", "username": "u"'),
            "response contains a duplicate field; the last one is used",
        ),
    ],
    ids=repr,
)
def test_what_only_newer_kubelets_refuse_in_an_answer_is_a_warning_without_a_word_of_it(
    body: bytes, warning: str
) -> None:
    """Kubernetes 1.30 decodes answers without looking for such fields; 1.37 does, strictly."""
    warnings: list[str] = []

    found = decode(body, warnings=warnings)

    assert [warning] == warnings
    assert "u" == found.entries[0].auth.username


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_our_error(body: bytes) -> None:
    for data in (body, b"{" + body, answer()[:-1] + body, answer()[:-1] + b"," + body + b"}"):
        assert 1 >= len(refusal_of(data).splitlines())


members = st.sampled_from(["apiVersion", "kind", "cacheKeyType", "cacheDuration", "auth", "username", "password", "x"])
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from([V1, "Image", "1m"]), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(members, inner, max_size=5)),
    max_leaves=10,
)


@given(anything, anything)
def test_any_json_is_an_answer_or_our_error(whole: object, auth: object) -> None:
    for body in (json.dumps(whole).encode(), answer(auth=auth), answer(auth={"quay.io": auth})):
        assert isinstance(passwords_in(body), list)
        assert 1 >= len(refusal_of(body).splitlines())


def test_passwords_are_found_in_a_refused_answer_too() -> None:
    assert [SECRET] == passwords_in(answer(kind="x", more=[1]))
    assert [] == passwords_in(SECRET.encode())


def test_an_entry_of_an_answer_shows_no_password() -> None:
    assert SECRET not in repr(_Login(username="u", password=SECRET))
    assert SECRET not in repr(decode(answer()))
