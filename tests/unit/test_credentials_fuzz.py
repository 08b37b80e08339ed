"""Credentials against input that nobody foresaw: only our errors, no order that decides by chance, no slow pattern."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodeprefetch_kubelet.protocol import decode_response

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.dockerconfig import (
    DockerConfigError,
    parse_by_content,
    parse_docker_config,
    parse_legacy_docker_config,
)
from nodeprefetch.credentials.keyring import KeyPattern, Keyring, KeyringEntry
from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.values.image_ref import ImageRef

# Few letters, so that many keys match an image, and several are one.
labels = st.sampled_from(["*", "a", "a*", "*a", "**", "b"])
hosts = st.builds(
    "{}{}".format,
    st.lists(labels, min_size=1, max_size=2).map(".".join) | st.sampled_from(["docker.io", "index.docker.io", "*.io"]),
    st.sampled_from(["", "", "", ":5000", ":"]),
)
paths = st.sampled_from(["", "/", "/v1/", "/v2/", "/a", "/a/", "/a/b", "/v1/a", "/v2/a/b", "/%61", "/library/"])
keys = st.builds("{}{}{}".format, st.sampled_from(["", "", "https://", "http://", "user@", "oci://"]), hosts, paths)
image_names = st.sampled_from(
    ["a.a/a/b", "a.a", "a.a/a", "a/a/b", "a.a:5000/a/b", "a.b/a", "docker.io/library/a", "index.docker.io/a", "a"]
)


def credential(key: str) -> KeyringEntry:
    return KeyringEntry(key=key, auth=AuthConfig(username=key))


def meaning(key: str) -> str | None:
    """What makes two keys one."""
    pattern = KeyPattern.parse(key)
    return pattern.without_api_version().text if pattern else None


@given(data=st.data(), written=st.lists(keys, unique_by=meaning, max_size=8), image=image_names)
def test_matching_does_not_depend_on_the_order_of_entries(data: st.DataObject, written: list[str], image: str) -> None:
    shuffled = data.draw(st.permutations(written))

    found, found_shuffled = (Keyring(map(credential, order)).lookup(image) for order in (written, shuffled))

    assert found == found_shuffled


@given(written=st.lists(keys, max_size=8), image=image_names)
def test_equal_keys_keep_the_order_in_which_they_were_given(written: list[str], image: str) -> None:
    numbered = [KeyringEntry(key=key, auth=AuthConfig(username=str(n))) for n, key in enumerate(written)]

    found = [(meaning(entry.key), int(entry.auth.username)) for entry in Keyring(numbered).lookup(image)]

    for key in {key for key, _ in found}:
        numbers = [number for each, number in found if each == key]
        assert sorted(numbers) == numbers


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """What takes longer is cut: a pattern tried in all ways would not end in anybody's lifetime."""

    def cut(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, cut)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("unit", "end", "label", "label_end", "expected"),
    [
        ("*a", "", "aa", "", True),
        ("*a", "*", "aa", "", True),
        ("*a", "b", "aa", "", False),
        ("a*", "b", "aa", "", False),
        ("**", "", "aa", "", True),
        ("*ab", "*c", "ab", "", False),
        ("*aab", "*", "aa", "", False),
        ("*a*b", "*", "ba", "", False),
        ("*a*b", "*", "ba", "b", True),
    ],
)
@pytest.mark.parametrize("repeated", [10, 1000, 100_000])
def test_a_key_is_compared_in_a_time_in_proportion_to_its_length(
    *, unit: str, end: str, label: str, label_end: str, repeated: int, expected: bool
) -> None:
    """200 KB in milliseconds. Where every star is tried against every rest it is 10^10 steps, or 2^100000."""
    with ends_within(5):
        ring = Keyring([credential(f"{unit * repeated}{end}.io/team")])

        found = ring.lookup(f"{label * repeated}{label_end}.io/team/app")

    assert expected == bool(found)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["auths", "AUTHS", "auth", "username", "password", "identitytoken", "registrytoken"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
payloads = (
    st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.builds(lambda value, rest: json.dumps({"auths": value}).encode() + rest, json_values, st.binary(max_size=4))
    | st.integers(1, 5000).map(lambda depth: b'{"auths":' + b"[" * depth)
    | st.integers(1, 5000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth)
)


@pytest.mark.parametrize("parse", [parse_docker_config, parse_legacy_docker_config, parse_by_content])
@given(data=payloads)
def test_any_payload_is_read_or_refused_and_can_be_looked_up(parse, data: bytes) -> None:
    try:
        config = parse(data)
    except DockerConfigError:
        return

    ring = Keyring(config.entries)

    assert len(ring.lookup("quay.io/a")) <= len(config.entries)
    assert all("\n" not in warning for warning in config.warnings)


response_keys = st.sampled_from(["quay.io", "*.io", "", "%", "\x00", "[", "quay.io/\ud800"])
responses = st.fixed_dictionaries(
    {
        "apiVersion": st.just("credentialprovider.kubelet.k8s.io/v1"),
        "kind": st.just("CredentialProviderResponse"),
        "cacheKeyType": st.sampled_from(["Image", "Registry", "Global", "x", None]),
    },
    optional={
        "cacheDuration": st.sampled_from(["5m", "0s", "-1s", "1e9h", "9" * 400 + "h", "", None, 3]),
        "auth": st.dictionaries(
            response_keys, st.fixed_dictionaries({"username": st.text(), "password": st.text()}) | json_values
        )
        | json_values,
    },
)


@given(response=responses)
def test_whatever_looks_like_a_response_is_an_answer_or_our_error(response: dict[str, object]) -> None:
    try:
        body = json.dumps(response).encode()
        provided = decode_response(body, "credentialprovider.kubelet.k8s.io/v1", 60.0, [].append)
    except NodeprefetchError:
        return

    found = Keyring(provided.entries).lookup(ImageRef.parse("quay.io/a:1"))

    assert len(found) <= len(provided.entries)
    assert provided.cache_duration is None or 0 < provided.cache_duration < float("inf")
