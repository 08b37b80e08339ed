"""Pull secrets, and the file of `--docker-config`."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.credentials.auth import AuthConfig, Credential
from nodeprefetch.credentials.dockerconfig import (
    DockerConfigError,
    parse_docker_config,
    parse_legacy_docker_config,
)
from nodeprefetch.credentials.source import MAX_FILE_BYTES, load_docker_config
from nodeprefetch.errors import UsageError
from nodeprefetch.imageref import ImageRef

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
        ([], "it must be an object, not an array"),
        (SECRET, "it must be an object, not a string"),
        ({"password": 5}, "its `password` must be a string, not a number"),
        ({"username": {}}, "its `username` must be a string, not an object"),
        ({"email": True}, "its `email` must be a string, not a boolean"),
        ({"auth": "*" + SECRET}, "its `auth` is not base64"),
        ({"auth": b64("u:" + SECRET).rstrip("=") + "="}, "its `auth` is not base64: the padding is wrong"),
        ({"auth": "YWI6Yw== "}, "its `auth` is not base64: the padding is wrong"),
        ({"auth": "YWI6Y"}, "its `auth` is not base64"),
        ({"auth": "YW I6Yw"}, "its `auth` is not base64: the padding is wrong"),
        ({"auth": "Pz8_Oj8_"}, "its `auth` is not base64"),
        ({"auth": b64(SECRET)}, "its `auth` must be base64 of user:password, but there is no colon in it"),
        ({"auth": "/////w=="}, "its `auth` decodes to something that is not UTF-8"),
    ],
)
def test_a_malformed_entry_is_named_and_left_out(entry: Any, problem: str) -> None:
    data = json.dumps({"auths": {"quay.io": entry, "ghcr.io": {"username": "u"}}}).encode()

    read = parse_docker_config(data)

    assert ["ghcr.io"] == [e.key for e in read.entries]
    assert 1 == len(read.warnings)
    assert read.warnings[0].startswith(f'"quay.io" is left out: {problem.partition(":")[0]}')
    assert SECRET not in read.warnings[0]


@pytest.mark.parametrize("entry", [None, {}, {"email": "x"}])
def test_an_empty_entry_is_an_empty_credential_with_a_warning(entry: Any) -> None:
    read = parse_docker_config(config(entry))

    assert [AuthConfig()] == [e.auth for e in read.entries]
    assert ('"quay.io" has no user name, password or token: it pulls as nobody',) == read.warnings


@pytest.mark.parametrize("data", [b"{}", b'{"auths": null, "credsStore": "x"}'])
def test_without_auths_there_is_no_credential_and_a_warning(data: bytes) -> None:
    read = parse_docker_config(data)

    assert () == read.entries
    assert ("no `auths` in it, so no credentials",) == read.warnings


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


async def test_a_file_gives_the_credentials_that_match_most_specific_first(tmp_path: Path) -> None:
    file = tmp_path / ".dockerconfigjson"
    file.write_text(
        json.dumps(
            {"auths": {"quay.io": {"username": "a"}, "quay.io/team": {"username": "b"}, "q:x": {"username": "c"}}}
        )
    )
    source = load_docker_config(file)

    found = await source.credentials_for(ImageRef.parse("quay.io/team/app:1"))

    name = f"docker-config {file}"
    assert name == source.name
    assert [
        Credential(source=name, key="quay.io/team", auth=AuthConfig(username="b")),
        Credential(source=name, key="quay.io", auth=AuthConfig(username="a")),
    ] == found
    assert (f'{name}: "q:x" is left out: no host or host/path',) == source.warnings
    assert [] == await source.credentials_for(ImageRef.parse("nginx"))


async def test_a_legacy_file_is_known_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / ".dockercfg"
    file.write_text('{"quay.io": {"username": "a"}}')

    assert 1 == len(await load_docker_config(str(file)).credentials_for(ImageRef.parse("quay.io/a")))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("missing", None, "cannot be read: No such file or directory"),
        (".", None, "is a directory: name the file in it, such as .dockerconfigjson"),
        ("nul\0", None, "cannot be read: embedded null byte"),
        ("bad", b"auths: {}", "not JSON: "),
        ("long", b" " * (MAX_FILE_BYTES + 1), "longer than 1048576 bytes: this is no pull secret"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_says_why(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(UsageError) as caught:
        load_docker_config(tmp_path / name)

    assert 1 == len(caught.value.problems)
    assert "docker-config " in str(caught.value)
    assert problem in str(caught.value)


def test_what_must_be_hidden_is_password_and_token() -> None:
    assert ("p", "t") == AuthConfig(username="u", password="p", identity_token="t").secrets
    assert () == AuthConfig(username="u").secrets


def test_passwords_do_not_show_in_what_is_printed(tmp_path: Path) -> None:
    read = parse_docker_config(config({"username": "u", "password": SECRET, "identitytoken": SECRET}))

    assert SECRET not in repr(read)
    assert "username='u'" in repr(read)
