"""Pull secrets: what is in the payloads."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.dockerconfig import (
    DockerConfigError,
    parse_by_content,
    parse_docker_config,
    parse_legacy_docker_config,
)

SECRET = "s3cr3t-of-mine"


def config(entry: Any) -> bytes:
    return json.dumps({"auths": {"quay.io": entry}}).encode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("entry", "auth"),
    [
        ({"username": "u", "password": "p"}, AuthConfig(username="u", password="p")),
        ({"UserName": "u", "PASSWORD": "p"}, AuthConfig(username="u", password="p")),
        ({"username": "u", "password": None, "email": "x", "more": 1}, AuthConfig(username="u")),
        ({"auth": b64("u:p:q"), "username": "x"}, AuthConfig(username="u", password="p:q")),
        ({"auth": "", "username": "x"}, AuthConfig(username="x")),
        ({"auth": "YWI6Yw"}, AuthConfig(username="ab", password="c")),
        ({"auth": "YWI6\nYw==\r\n"}, AuthConfig(username="ab", password="c")),
        ({"identitytoken": "t"}, AuthConfig(identity_token="t")),
        ({"identitytoken": "t", "auth": b64("<token>:")}, AuthConfig(identity_token="t")),
        (
            {"identitytoken": "t", "auth": b64("00000000-0000-0000-0000-000000000000:")},
            AuthConfig(identity_token="t"),
        ),
        (
            {"identitytoken": "t", "auth": b64("u:p")},
            AuthConfig(username="u", password="p", identity_token="t"),
        ),
    ],
)
def test_an_entry_is_read_as_the_kubelet_reads_it(entry: dict[str, Any], auth: AuthConfig) -> None:
    read = parse_docker_config(config(entry))

    assert [auth] == [e.auth for e in read.entries]
    assert () == read.warnings


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ([], "must be an object, not an array"),
        (SECRET, "must be an object, not a string"),
        ({"password": 5}, "`password` must be a string, not a number"),
        ({"username": {}}, "`username` must be a string, not an object"),
        ({"email": True}, "`email` must be a string, not a boolean"),
        ({"auth": "*" + SECRET}, "`auth` is not valid base64"),
        ({"auth": b64("u:" + SECRET).rstrip("=") + "="}, "`auth` is not valid base64: wrong padding"),
        ({"auth": "YWI6Yw== "}, "`auth` is not valid base64: wrong padding"),
        ({"auth": "YWI6Y"}, "`auth` is not valid base64"),
        ({"auth": "YW I6Yw"}, "`auth` is not valid base64"),
        ({"auth": "Pz8_Oj8_"}, "`auth` is not valid base64"),
        ({"auth": b64(SECRET)}, "`auth` must be base64 of user:password, but has no colon"),
        ({"auth": "/////w=="}, "`auth` decodes to invalid UTF-8"),
    ],
)
def test_a_malformed_entry_is_named_and_left_out(entry: Any, problem: str) -> None:
    data = json.dumps({"auths": {"quay.io": entry, "ghcr.io": {"username": "u"}}}).encode()

    read = parse_docker_config(data)

    assert ["ghcr.io"] == [e.key for e in read.entries]
    assert (f'key "quay.io" skipped: {problem}',) == read.warnings
    assert SECRET not in read.warnings[0]


@pytest.mark.parametrize("entry", [None, {}, {"email": "x"}])
def test_an_empty_entry_is_an_empty_credential_with_a_warning(entry: Any) -> None:
    read = parse_docker_config(config(entry))

    assert [AuthConfig()] == [e.auth for e in read.entries]
    assert ('key "quay.io" has no user name, password or token: pulls will be anonymous',) == read.warnings


@pytest.mark.parametrize("data", [b"{}", b'{"auths": null, "credsStore": "x"}'])
def test_without_auths_there_is_no_credential_and_a_warning(data: bytes) -> None:
    read = parse_docker_config(data)

    assert () == read.entries
    assert ("no `auths`, so no credentials",) == read.warnings


def test_auths_are_found_in_any_case_behind_a_byte_order_mark() -> None:
    read = parse_docker_config(b'\xef\xbb\xbf{"AUTHS": {"quay.io": {"username": "u"}}}')

    assert ["quay.io"] == [e.key for e in read.entries]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON: "),
        (b'{"auths": s3cr3t-of-mine', "not JSON: "),
        (b'{"auths": "\xff"}', "not JSON: "),
        (b"[" * 100_000, "not JSON: "),
        (b"[]", "must be a JSON object, not an array"),
        (b"null", "must be a JSON object, not null"),
        (b'{"auths": "s3cr3t-of-mine"}', "`auths` must be an object, not a string"),
    ],
)
def test_a_payload_that_is_none_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(DockerConfigError) as caught:
        parse_docker_config(data)

    assert str(caught.value).startswith(problem)
    assert SECRET not in str(caught.value)


def test_the_legacy_payload_has_no_auths_around_it() -> None:
    read = parse_legacy_docker_config(b'{"quay.io": {"auth": "b2xkOnB3"}}')

    assert [AuthConfig(username="old", password="pw")] == [e.auth for e in read.entries]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["auths", "auth", "username", "password", "identitytoken"]) | st.text(), inner, max_size=4
        )
    ),
)


@given(st.one_of(st.binary(), json_values.map(lambda value: json.dumps({"auths": {"k": value}}).encode())))
def test_any_payload_is_read_or_refused(data: bytes) -> None:
    try:
        read = parse_docker_config(data)
    except DockerConfigError:
        return

    assert len(read.entries) + len(read.warnings) > 0 or b"auths" in data


@given(st.text(st.characters(codec="utf-8"), min_size=4).filter(lambda text: ":" not in text))
def test_no_warning_tells_a_secret(secret: str) -> None:
    secret = f"#{secret}#"
    for entry in ({"auth": b64(secret)}, {"auth": secret}, {"password": [secret]}, secret):
        read = parse_docker_config(config(entry))

        assert secret not in repr(read)
        assert 1 == len(read.warnings)


@pytest.mark.parametrize("name", ["registrytoken", "RegistryToken"])
def test_an_entry_with_nothing_but_a_registry_token_is_left_out(name: str) -> None:
    read = parse_docker_config(config({name: SECRET, "auth": b64("<token>:")}))

    assert () == read.entries
    assert ('key "quay.io" skipped: it has only a `registrytoken`, which no container runtime uses',) == read.warnings


def test_a_registry_token_beside_something_better_does_no_harm() -> None:
    read = parse_docker_config(config({"registrytoken": SECRET, "auth": b64("<token>:"), "identitytoken": "t"}))

    assert [AuthConfig(identity_token="t")] == [e.auth for e in read.entries]
    assert () == read.warnings


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"auths": {"a.test": {"username": "u"}}, "b.test": {"username": "u"}}, ["a.test"]),
        ({"AUTHS": None, "b.test": {"username": "u"}}, []),
        ({"b.test": {"username": "u"}}, ["b.test"]),
        ({"b.test": {"RegistryToken": "t", "Auth": "dTpw"}}, ["b.test"]),
        ({"b.test": {"email": "me@b.test"}}, []),
        ({"credHelpers": {"b.test": "helper"}}, []),
        ({}, []),
    ],
)
def test_content_tells_which_payload_it_is(data: Any, keys: list[str]) -> None:
    assert keys == [e.key for e in parse_by_content(json.dumps(data).encode()).entries]


def test_content_that_is_neither_payload_is_refused() -> None:
    with pytest.raises(DockerConfigError, match="must be a JSON object, not an array"):
        parse_by_content(b"[]")


def test_what_must_be_hidden_is_password_and_token() -> None:
    assert ("p", "t") == AuthConfig(username="u", password="p", identity_token="t").secrets
    assert () == AuthConfig(username="u").secrets


def test_passwords_do_not_show_in_what_is_printed() -> None:
    read = parse_docker_config(config({"username": "u", "password": SECRET, "identitytoken": SECRET}))

    assert SECRET not in repr(read)
    assert "username='u'" in repr(read)
