"""Keys and `matchImages` that no image can match: named, with what to write; and no other is."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.credentials.dockerconfig import parse_docker_config
from nodeprefetch.credentials.keyring import KeyPattern, why_key_never
from nodeprefetch.credentials.plugins import load_plugins
from nodeprefetch.values.image_ref import ImageRef, ImageRefError

DATA = Path(__file__).parents[1] / "data"
KEYRINGS: list[dict[str, Any]] = json.loads((DATA / "keyring-cases.json").read_text("utf-8"))
MATCHES: list[dict[str, Any]] = json.loads((DATA / "matchimages-cases.json").read_text("utf-8"))
SECRET = "s3cr3t-of-mine"

NEVER = [
    ("harbor.example.com/*", 'wildcards match in the host only (write "harbor.example.com")'),
    ("https://harbor.example.com/*", 'wildcards match in the host only (write "harbor.example.com")'),
    ("quay.io/team/*", 'wildcards match in the host only (write "quay.io/team/")'),
    ("quay.io/team/app-*", 'wildcards match in the host only (write "quay.io/team/app-")'),
    ("*.azurecr.io/*", 'wildcards match in the host only (write "*.azurecr.io")'),
    ("quay.io/team/app:1", 'a key cannot have a tag (write "quay.io/team/app")'),
    ("quay.io/team/app@sha256:12", 'a key cannot have a digest (write "quay.io/team/app")'),
    ("quay.io/Team", 'no repository begins with "/Team"'),
    ("quay.io//team", 'no repository begins with "//team"'),
    ("harbor/team", '"harbor" is not a registry (a host must have a dot or a port, or be localhost)'),
    ("-a.example.com", '"-a.example.com" is not a registry (a host must have a dot or a port, or be localhost)'),
    ("oci://quay.io", '"oci:" is not a registry (a host must have a dot or a port, or be localhost)'),
    ("", '"" is not a registry (a host must have a dot or a port, or be localhost)'),
    ("index.docker.io/myorg", 'images of Docker Hub have the host docker.io (write "docker.io/myorg")'),
    ("https://index.docker.io/v1", 'images of Docker Hub have the host docker.io (write "docker.io")'),
    ("index.docker.io/*", 'images of Docker Hub have the host docker.io (write "docker.io")'),
]


@pytest.mark.parametrize(("key", "why"), NEVER)
def test_a_key_that_no_image_matches_is_named_with_what_to_write(key: str, why: str) -> None:
    assert why == why_key_never(key)


@pytest.mark.parametrize(
    "key",
    ["https://index.docker.io/v1/", "index.docker.io", "https://gcr.io/v2/", "quay.io/team/", "quay.io/team/app-",
     "*", "loc*", "localhost", "localhost/a", "10.0.*.*", "[::1]:5000", "a_b.example", "QUAY.io", "quay.io:443/a__"],
)  # fmt: skip
def test_a_key_that_an_image_can_match_is_not(key: str) -> None:
    assert why_key_never(key) is None


def test_for_match_images_the_key_of_docker_hub_never_matches() -> None:
    pattern = KeyPattern.parse("index.docker.io")

    assert pattern
    assert 'images of Docker Hub have the host docker.io (write "docker.io")' == pattern.why_never()


@pytest.mark.parametrize("case", [case for case in MATCHES if case["match"]], ids=lambda case: case["pattern"])
def test_no_pattern_that_the_kubelet_matches_is_named(case: dict[str, Any]) -> None:
    pattern = KeyPattern.parse(case["pattern"])

    assert pattern
    assert pattern.why_never() is None


hosts = st.text(alphabet=st.sampled_from("aB*.-_:5"), max_size=6) | st.sampled_from(
    ["localhost", "docker.io", "index.docker.io", "*.docker.io", "[::1]:5"]
)
paths = st.text(alphabet=st.sampled_from("/aB.-_*:@"), max_size=6).map(lambda path: f"/{path}" if path else "")
names = st.builds(
    "{}/{}".format,
    st.sampled_from(["a", "B", "aa.a", "a.B", "a:5", "a.a:5", "a_a.a", "localhost", "docker.io", "index.docker.io"]),
    st.text(alphabet=st.sampled_from("/a.-_"), min_size=1, max_size=6),
)


@given(hosts, paths, names)
def test_what_is_said_never_to_match_never_matches(host: str, path: str, name: str) -> None:
    pattern = KeyPattern.parse(host + path)
    try:
        image = ImageRef.parse(name)
    except ImageRefError:
        return

    assert not (pattern and pattern.matches(image.lookup_name) and pattern.why_never())


@given(hosts, paths)
def test_what_is_not_said_never_to_match_matches_some_image(host: str, path: str) -> None:
    pattern = KeyPattern.parse(host + path)
    if not pattern or pattern.why_never():
        return
    registries = [pattern.host.removesuffix(":").replace("*", letter) for letter in "aA"]
    candidates = [
        f"{registry}{pattern.path}{more}" for registry in registries for more in ("", "a", "/a", "/a/a", "a/a")
    ]

    assert any(pattern.matches(image.lookup_name) for image in map(parsed, candidates) if image)


def parsed(name: str) -> ImageRef | None:
    try:
        return ImageRef.parse(name)
    except ImageRefError:
        return None


def test_such_a_key_of_a_pull_secret_is_a_warning_without_its_secret() -> None:
    auths = {key: {"username": "u", "password": SECRET} for key, _ in NEVER}

    read = parse_docker_config(json.dumps({"auths": auths}).encode())

    assert len(NEVER) == len(read.entries)
    assert [f'key "{key}" never matches an image: {why}' for key, why in NEVER] == list(read.warnings)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("member", ["auth", "password"])
def test_a_password_that_ends_in_a_line_break_is_a_warning_and_sent_as_it_is(end: str, member: str) -> None:
    password = SECRET + end
    auth = base64.b64encode(f"u:{password}".encode()).decode()
    entry = {"auth": auth} if member == "auth" else {"username": "u", "password": password}

    read = parse_docker_config(json.dumps({"auths": {"quay.io": entry}}).encode())

    assert password == read.entries[0].auth.password
    problem, advice = "a password that ends with a line break, which is sent too", "with printf instead of echo"
    assert (f'key "quay.io" has {problem} (create the Secret again {advice})',) == read.warnings


@pytest.mark.parametrize("case", KEYRINGS, ids=[case["name"] for case in KEYRINGS])
def test_no_key_that_the_kubelet_uses_is_named(case: dict[str, Any]) -> None:
    """Of each case: the credentials that it expects stand under keys that match."""
    used = {(login["username"], login["password"]) for login in case.get("expect") or ()}
    for source in case["sources"]:
        data = source["data"].get("auths", source["data"]) if isinstance(source["data"], dict) else {}
        for key, entry in (data or {}).items():
            if isinstance(entry, dict) and (entry.get("username"), entry.get("password")) in used:
                assert why_key_never(key) is None


@pytest.mark.parametrize("name", ["secret", "registry-token"])
def test_a_key_is_named_also_where_its_file_is_called_as_secrets_are(name: str, tmp_path: Path) -> None:
    """What masks secrets in warnings takes what is quoted after `secret:` for one."""
    (tmp_path / name).write_text(json.dumps({"auths": {"quay.io/team/*": {"username": "u", "password": SECRET}}}))
    warnings: list[str] = []
    options = {"pull-secrets": {"config": (str(tmp_path / name),)}}

    load_plugins(options, environment={}, warn=warnings.append)

    why = 'wildcards match in the host only (write "quay.io/team/")'
    assert [f'pull-secrets: docker-config {name}: key "quay.io/team/*" never matches an image: {why}'] == warnings
