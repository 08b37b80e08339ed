"""Pull secrets against real registries: nobody, the right one, a wrong one, several, many images at once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.credential_sources import (
    HTPASSWD_HASH,
    SLOW,
    entry,
    mount_secret,
    notices,
    refusals,
    used,
    write_secret,
)
from tests.integration.program import RunFetch
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry

pytestmark = pytest.mark.containerd

RIGHT, WRONG = "1", "wr0ng-of-ann"
MORE_THAN_ALONE = 20.0
"""Seconds that a wrong credential in front of the right one may cost."""


@dataclass(frozen=True, kw_only=True)
class Private:
    """A registry that lets ann in, and images in it."""

    address: str
    first: str
    second: str


@contextmanager
def real_registry(directory: Path) -> Iterator[Private]:
    with DockerRegistry(directory / "registry", htpasswd=f"ann:{HTPASSWD_HASH}\n") as registry:
        yield Private(
            address=registry.address,
            first=registry.push("secrets/a:1", make_image(seed="secrets a"), username="ann", password=RIGHT),
            second=registry.push("secrets/b:1", make_image(seed="secrets b"), username="ann", password=RIGHT),
        )


@contextmanager
def fake_private(scheme: str) -> Iterator[Private]:
    with FakeRegistry() as registry:
        require = registry.require_basic if scheme == "Basic" else registry.require_bearer
        require({"ann": RIGHT})
        yield Private(
            address=registry.address,
            first=registry.add("secrets/a:1", make_image(seed=f"secrets a {scheme}")),
            second=registry.add("secrets/b:1", make_image(seed=f"secrets b {scheme}")),
        )


@pytest.fixture(params=[pytest.param("htpasswd", marks=pytest.mark.registry), "Basic", "Bearer"])
def private(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Private]:
    if request.param == "htpasswd":
        request.getfixturevalue("docker_registry")  # skips, or fails, where there is none
        made = real_registry(short_path)
    else:
        made = fake_private(request.param)
    with made as registry:
        yield registry


def test_a_wrong_credential_is_refused_and_costs_the_right_one_no_time(
    containerd: Containerd, private: Private, run_fetch: RunFetch, tmp_path: Path
) -> None:
    right = write_secret(tmp_path / "right", {private.address: entry("ann", RIGHT)})
    wrong = write_secret(tmp_path / "wrong", {private.address: entry("ann", WRONG)})

    refused = run_fetch(containerd, private.first, docker_config=wrong, **SLOW)
    alone = run_fetch(containerd, private.first, docker_config=right, **SLOW)
    both = run_fetch(containerd, private.second, docker_config=[wrong, right], **SLOW)

    assert (1, "refused", 1) == (refused.code, refused.result(private.first)["class"], refusals(refused))
    assert (0, 0, 0, 1) == (alone.code, both.code, refusals(alone), refusals(both))
    assert [f"docker-config {path.name} {private.address}" for path in (wrong, right)] == used(both)
    assert both.summary["elapsed"] < alone.summary["elapsed"] + MORE_THAN_ALONE


@pytest.mark.registry
@pytest.mark.parametrize("others", [{}, {"quay.io": entry("ann", RIGHT), "*.test": entry("bob", RIGHT)}])
def test_a_public_image_is_pulled_by_nobody(
    containerd: Containerd,
    docker_registry: DockerRegistry,
    run_fetch: RunFetch,
    tmp_path: Path,
    others: dict[str, dict[str, str]],
) -> None:
    name = docker_registry.push(f"public/{len(others)}:1", make_image(seed=f"public {len(others)}"))
    config = write_secret(tmp_path / "config.json", others)

    ended = run_fetch(containerd, name, docker_config=config)

    assert (0, [""]) == (ended.code, used(ended))


def test_a_public_image_of_a_registry_with_logins_is_pulled_by_nobody(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    """Its token server gives a token to anyone; the credential is for another repository."""
    fake_registry.require_bearer({"ann": RIGHT}, prefix="private")
    name = fake_registry.add("open/app:1", make_image(seed="open beside private"))
    config = write_secret(tmp_path / "config.json", {f"{fake_registry.address}/private": entry("ann", RIGHT)})

    ended = run_fetch(containerd, name, docker_config=config, **SLOW)

    assert (0, [""]) == (ended.code, used(ended))
    assert {""} == {request.user for request in fake_registry.requests}


def test_several_mounted_secrets_are_one_keyring(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    address = fake_registry.address
    fake_registry.require_basic({"ann": RIGHT}, prefix="mounted/a")
    fake_registry.require_bearer({"bob": RIGHT}, prefix="mounted/b")
    a, b = (fake_registry.add(f"mounted/{name}:1", make_image(seed=f"mounted {name}")) for name in "ab")
    legacy = json.dumps({f"http://{address}/v1/mounted/a": entry("ann", RIGHT)})
    of_today = json.dumps({"auths": {f"{address}/mounted/b": entry("bob", RIGHT)}})
    mount_secret(tmp_path / "secrets" / "old", ".dockercfg", legacy)
    mount_secret(tmp_path / "secrets" / "new", ".dockerconfigjson", of_today)

    ended = run_fetch(containerd, a, b, docker_config=tmp_path / "secrets", **SLOW)

    assert (0, 0) == (ended.code, refusals(ended))
    assert {a: "succeeded", b: "succeeded"} == ended.outcomes


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_two_repositories_of_a_host_have_their_own_credentials(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path, scheme: str
) -> None:
    require = fake_registry.require_basic if scheme == "Basic" else fake_registry.require_bearer
    require({"ann": "ann's", "bob": "bob's"}, rights={"ann": ["two/a"], "bob": ["two/b"]})
    names = [fake_registry.add(f"two/{name}:1", make_image(seed=f"two {name} {scheme}")) for name in "ab"]
    address = fake_registry.address
    logins = {f"{address}/two/b": entry("bob", "bob's"), f"{address}/two/a": entry("ann", "ann's")}

    ended = run_fetch(containerd, *names, docker_config=write_secret(tmp_path / "c", logins), **SLOW)

    assert (0, 0) == (ended.code, refusals(ended))
    who = {(request.repository, request.user) for request in fake_registry.requests.of(status=200, stage="manifest")}
    assert {("two/a", "ann"), ("two/b", "bob")} == {pair for pair in who if pair[1]}


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_stale_credential_is_refused_only_for_the_images_pulled_first(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path, scheme: str
) -> None:
    """Both have equal keys, the stale one first. Of 50 images, four are pulled at a time."""
    require = fake_registry.require_basic if scheme == "Basic" else fake_registry.require_bearer
    require({"good": RIGHT})
    image = make_image(seed=f"fifty {scheme}")
    names = [fake_registry.add(f"fifty/app-{number}:1", image) for number in range(50)]
    stale = write_secret(tmp_path / "stale", {fake_registry.address: entry("stale", WRONG)})
    good = write_secret(tmp_path / "good", {f"https://{fake_registry.address}/": entry("good", RIGHT)})

    ended = run_fetch(containerd, *names, docker_config=[stale, good], max_parallel_pulls=4, **SLOW)

    refused = [each for each in fake_registry.requests.of(user="stale") if each.status != 200]
    assert (0, 50) == (ended.code, ended.summary["succeeded"])
    assert 1 <= refusals(ended) <= 4
    assert refusals(ended) == len({each.repository for each in refused})
    assert [] == list(fake_registry.requests.of(user="stale", status=200))


def test_a_wrong_identity_token_is_followed_by_the_right_password(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    fake_registry.require_bearer({"ann": RIGHT}, identity_tokens={"t0ken-0f-ann": "ann"})
    name = fake_registry.add("token/wrong:1", make_image(seed="wrong identity token"))
    stale = {f"{fake_registry.address}/token": {**entry("<token>", ""), "identitytoken": "t0ken-of-yesterday"}}
    config = write_secret(tmp_path / "config.json", {**stale, fake_registry.address: entry("ann", RIGHT)})

    ended = run_fetch(containerd, name, docker_config=config, **SLOW)

    assert (0, 1) == (ended.code, refusals(ended))


def test_a_registry_token_is_not_used_and_that_is_said(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    fake_registry.require_bearer({"ann": RIGHT})
    name = fake_registry.add("token/registry:1", make_image(seed="registry token"))
    token = {"registrytoken": "reg1stry-t0ken"}
    config = write_secret(tmp_path / "config.json", {fake_registry.address: token})

    ended = run_fetch(containerd, name, docker_config=config, **SLOW)

    assert (1, [""], "refused") == (ended.code, used(ended), ended.result(name)["class"])
    assert [f'key "{fake_registry.address}" skipped: it has only a `registrytoken`'] == [
        notice.split("config.json: ")[1].split(", which")[0] for notice in notices(ended)
    ]
    assert "reg1stry-t0ken" not in ended.stderr
