"""The keyring: the kubelet's answers, case by case."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.dockerconfig import parse_docker_config, parse_legacy_docker_config
from nodeprefetch.credentials.keyring import KeyPattern, Keyring, KeyringEntry
from nodeprefetch.values.image_ref import ImageRef, ImageRefError

DATA = Path(__file__).parents[1] / "data"
CASES: list[dict[str, Any]] = json.loads((DATA / "keyring-cases.json").read_text("utf-8"))
MATCHES: list[dict[str, Any]] = json.loads((DATA / "matchimages-cases.json").read_text("utf-8"))


def keyring(*keys: str) -> Keyring:
    """User u1 under the first key, u2 under the second …."""
    return Keyring(
        KeyringEntry(key=key, auth=AuthConfig(username=f"u{n}", password=f"p{n}"))
        for n, key in enumerate(keys, start=1)
    )


def users(ring: Keyring, image: str) -> list[str]:
    return [entry.auth.username for entry in ring.lookup(ImageRef.parse(image))]


def read(source: dict[str, Any]) -> tuple[KeyringEntry, ...]:
    data = json.dumps(source["data"]).encode()
    parse = parse_docker_config if source["type"] == "dockerconfigjson" else parse_legacy_docker_config
    return parse(data).entries


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_image_gets_what_the_kubelet_would_use(case: dict[str, Any]) -> None:
    """Pull secrets make one keyring; what plugins answered makes another, which is asked after it."""
    if case.get("error") == "image":
        with pytest.raises(ImageRefError):
            ImageRef.parse(case["image"])
        return
    image = ImageRef.parse(case["image"])
    secrets = Keyring(e for s in case["sources"] if s["type"] != "plugin" for e in read(s))
    plugins = Keyring(e for s in case["sources"] if s["type"] == "plugin" for e in read(s))

    found = [*secrets.lookup(image), *plugins.lookup(image.lookup_name)]

    assert case["lookup_name"] == image.lookup_name
    assert case["expect"] == [{"username": e.auth.username, "password": e.auth.password} for e in found]


@pytest.mark.parametrize("case", MATCHES, ids=[f"{case['pattern']} - {case['image']}" for case in MATCHES])
def test_a_pattern_matches_the_images_that_the_kubelet_says(case: dict[str, Any]) -> None:
    pattern = KeyPattern.parse(case["pattern"])

    assert bool(case.get("pattern_invalid")) == (pattern is None)
    assert case["match"] == (pattern is not None and pattern.matches(case["image"]))


@pytest.mark.parametrize(
    ("keys", "image", "expected"),
    [
        (["index.docker.io/v1/"], "busybox", ["u1"]),
        (["https://index.docker.io/v1"], "busybox", []),
        (["index.docker.io/org"], "org/app", []),
        (["registry-1.docker.io"], "busybox", []),
        (["docker.io", "index.docker.io"], "busybox", ["u1"]),
        (["docker.io/other", "index.docker.io"], "busybox", ["u2"]),
        (["quay.io/core"], "quay.io/coreos/etcd", ["u1"]),
        (["quay.io/coreos/"], "quay.io/coreos", []),
        (["quay.io/v1"], "quay.io/v1/a", ["u1"]),
        (["quay.io/v1/"], "quay.io/a", ["u1"]),
        (["quay.io/v2/team"], "quay.io/team/a", ["u1"]),
        (["quay.io/"], "quay.io/a", ["u1"]),
        (["[1::1]:5000"], "[2::1]:5000/a", []),
        (["*.x.io", "reg*.x.io", "reg1.x.io"], "reg1.x.io/a", ["u3", "u2", "u1"]),
        (["10.0.*.*"], "10.0.3.4/a", ["u1"]),
        (["[::1]:5000"], "[::1]:5000/a", ["u1"]),
        (["[::1]"], "[::1]:5000/a", []),
        (["joe@quay.io?x=1#y"], "quay.io/a", ["u1"]),
        (["quay.io?"], "quay.io/a", ["u1"]),
        (["QUAY.io"], "quay.io/a", []),
        (["oci://quay.io"], "quay.io/a", []),
        (["q*.io"], "quay.io/a", ["u1"]),
        (["*q*a*.io"], "quay.io/a", ["u1"]),
        (["*y*a*.io"], "quay.io/a", []),
        (["quay*quay.io"], "quay.io/a", []),
        (["quay.io/a%62"], "quay.io/ab", ["u1"]),
        (["quay.io", "https://quay.io", "quay.io/v2/"], "quay.io/a", ["u1", "u2", "u3"]),
        ([""], "quay.io/a", []),
        (["*"], "localhost/a", ["u1"]),
    ],
)
def test_the_rules_of_keys(keys: list[str], image: str, expected: list[str]) -> None:
    assert expected == users(keyring(*keys), image)


@pytest.mark.parametrize("key", ["quay.io:x", "a b", "reg[12].io", "quay.io/%zz", "a\n", "q|.io", "[::1"])
def test_a_key_that_is_no_url_is_named_and_left_out(key: str) -> None:
    ring = keyring(key, "quay.io")

    assert (key,) == ring.unusable_keys
    assert ["u2"] == users(ring, "quay.io/a")


def test_a_credential_is_returned_under_its_key_as_written() -> None:
    assert ["https://quay.io/v2/"] == [e.key for e in keyring("https://quay.io/v2/").lookup("quay.io/a")]


def test_a_name_without_registry_is_docker_hub_s() -> None:
    ring = keyring("index.docker.io")

    assert 1 == len(ring.lookup("busybox"))
    assert 1 == len(ring.lookup("org/busybox"))
    assert () == ring.lookup("")
    assert () == ring.lookup("localhost:5000/a")


hosts = st.text(alphabet="ab*.:/[]0@?%", max_size=12)


@given(keys=st.lists(st.one_of(hosts, st.text(max_size=12)), max_size=5), image=st.one_of(hosts, st.text()))
def test_any_keys_and_any_name_give_an_answer(keys: list[str], image: str) -> None:
    found = keyring(*keys).lookup(image)

    assert len(found) == len({entry.auth.username for entry in found})


@given(label=st.text(alphabet="ab", max_size=8), pattern=st.text(alphabet="ab*", max_size=8))
def test_a_star_is_any_number_of_characters(label: str, pattern: str) -> None:
    """Compared with the plain recursive definition."""

    def matches(p: str, s: str) -> bool:
        if not p:
            return not s
        if p[0] == "*":
            return any(matches(p[1:], s[n:]) for n in range(len(s) + 1))
        return s[:1] == p[0] and matches(p[1:], s[1:])

    assert matches(pattern, label) == KeyPattern(host=pattern, path="").matches(f"{label}/x")
