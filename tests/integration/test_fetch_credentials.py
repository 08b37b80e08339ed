"""`--docker-config`: the right credential lets in, a wrong one costs no time, and none is ever shown."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Ended, RunFetch, Start
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry

pytestmark = pytest.mark.containerd

RIGHT, WRONG = "right-Pa55word/+=&%", "wrong-Pa55word"
SLOW = {"initial_pull_attempt_delay": "40s", "max_pull_attempt_delay": "40s"}
"""A run that waits before an attempt would not end in its time."""

HTPASSWD = "ann:$2b$04$hE21zvhqAZTyn1OB/Pzfb.SIt8bYmLO/bpg9uYqmBRfjpExmyR4.m\n"
"""Of the password 1, with bcrypt at its lowest cost."""


def entry(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


WriteConfig = Callable[[dict[str, dict[str, str]]], Path]
"""Key to entry; the path of the file."""


@pytest.fixture
def docker_config(tmp_path: Path) -> WriteConfig:
    def write(auths: dict[str, dict[str, str]]) -> Path:
        path = tmp_path / ".dockerconfigjson"
        path.write_text(json.dumps({"auths": auths}))
        return path

    return write


@pytest.fixture(params=["Basic", "Bearer"])
def private(request: pytest.FixtureRequest, fake_registry: FakeRegistry) -> str:
    """An image that only ann may read."""
    require = fake_registry.require_basic if request.param == "Basic" else fake_registry.require_bearer
    require({"ann": RIGHT, "bob": "bob's"}, rights={"bob": ["other"]})
    return fake_registry.add("private/app:1", make_image(seed=f"private {request.param} {fake_registry.address}"))


def used(ended: Ended, message: str) -> list[str]:
    """Source and key of the credential in each of these lines; what is said of it in parentheses is for people."""
    return [line["credential"].partition(" (")[0] for line in ended.lines(message)]


def no_secret_in(ended: Ended) -> None:
    text = ended.stdout + ended.stderr
    for password in (RIGHT, WRONG):
        for user in ("ann", "bob"):
            assert password not in text
            assert json.dumps(password)[1:-1] not in text
            assert entry(user, password)["auth"] not in text


def test_the_right_credential_lets_in(
    containerd: Containerd, private: str, fake_registry: FakeRegistry, run_fetch: RunFetch, docker_config: WriteConfig
) -> None:
    config = docker_config({fake_registry.address: entry("ann", RIGHT)})

    ended = run_fetch(containerd, private, docker_config=config, debug=True)

    assert 0 == ended.code
    assert [f"docker-config {config.parent.name} {fake_registry.address}"] == used(ended, "pulled")
    assert "ann" in {request.user for request in fake_registry.requests.of(status=200)}
    no_secret_in(ended)


@pytest.mark.parametrize("auth", [entry("ann", WRONG), entry("bob", "bob's")], ids=["wrong password", "no rights"])
def test_a_refused_credential_fails_its_image_without_waiting(
    containerd: Containerd,
    private: str,
    run_fetch: RunFetch,
    docker_config: WriteConfig,
    auth: dict[str, str],
) -> None:
    ended = run_fetch(containerd, private, docker_config=docker_config({private.partition("/")[0]: auth}), **SLOW)

    result = ended.result(private)
    assert 1 == ended.code
    assert ("image failed", 1, "refused") == (result["msg"], result["attempts"], result["class"])
    assert [] == ended.lines("retrying after delay")
    no_secret_in(ended)


def test_without_a_credential_nobody_is_let_in(containerd: Containerd, private: str, run_fetch: RunFetch) -> None:
    ended = run_fetch(containerd, private, **SLOW)

    assert (1, "refused") == (ended.code, ended.result(private)["class"])
    assert [] == ended.lines("retrying after delay")


def test_a_wrong_credential_is_followed_by_the_right_one_at_once(
    containerd: Containerd, private: str, fake_registry: FakeRegistry, run_fetch: RunFetch, docker_config: WriteConfig
) -> None:
    """The longer key comes first."""
    address = fake_registry.address
    config = docker_config({address: entry("ann", RIGHT), f"{address}/private": entry("ann", WRONG)})

    ended = run_fetch(containerd, private, docker_config=config, log_format="json", **SLOW)

    assert 0 == ended.code
    assert [
        f"docker-config {config.parent.name} {address}/private",
        f"docker-config {config.parent.name} {address}",
    ] == used(ended, "pulling")
    assert ["refused"] == [line["class"] for line in ended.lines("attempt failed")]
    assert [] == ended.lines("retrying after delay")
    no_secret_in(ended)


def test_a_refused_credential_is_not_asked_again(
    containerd: Containerd,
    private: str,
    fake_registry: FakeRegistry,
    run_fetch: RunFetch,
    docker_config: WriteConfig,
) -> None:
    address = fake_registry.address
    config = docker_config({address: entry("ann", RIGHT), f"{address}/private": entry("ann", WRONG)})
    fake_registry.fail("layer", *[Fault.status(503)] * 2)  # met by who is let in; containerd 2 asks twice by itself

    ended = run_fetch(containerd, private, docker_config=config)

    wrong, *right = used(ended, "pulling")
    assert 0 == ended.code
    assert wrong.endswith("/private")
    assert {f"docker-config {config.parent.name} {address}"} == set(right)
    assert 1 == [line["class"] for line in ended.lines("attempt failed")].count("refused")


def test_a_registry_that_says_the_password_back_is_not_quoted(
    containerd: Containerd,
    private: str,
    fake_registry: FakeRegistry,
    run_fetch: RunFetch,
    docker_config: WriteConfig,
) -> None:
    auth = entry("ann", RIGHT)
    message = f"no layer for ann:{RIGHT} alias Basic {auth['auth']}"
    body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
    fake_registry.fail(
        "layer", Fault.status(403, headers={"Content-Type": "application/json"}, body=body), forever=True
    )

    ended = run_fetch(containerd, private, docker_config=docker_config({fake_registry.address: auth}))

    assert "no layer for ann:***" in ended.result(private)["error"]
    no_secret_in(ended)


def test_all_credentials_refused_is_said_once_each(
    containerd: Containerd, private: str, fake_registry: FakeRegistry, run_fetch: RunFetch, docker_config: WriteConfig
) -> None:
    address = fake_registry.address
    config = docker_config({address: entry("bob", "bob's"), f"{address}/private": entry("ann", WRONG)})

    ended = run_fetch(containerd, private, docker_config=config, log_format="logfmt", **SLOW)

    assert 1 == ended.code
    assert 2 == ended.stderr.count('msg="attempt failed"')
    assert 'msg="image failed"' in ended.stderr
    no_secret_in(ended)


def test_an_identity_token_lets_in(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, docker_config: WriteConfig
) -> None:
    fake_registry.require_bearer({"ann": RIGHT}, identity_tokens={WRONG: "ann"})
    name = fake_registry.add("token/app:1", make_image(seed="identity token"))
    config = docker_config({fake_registry.address: {**entry("<token>", ""), "identitytoken": WRONG}})

    ended = run_fetch(containerd, name, docker_config=config)

    assert 0 == ended.code
    no_secret_in(ended)


@pytest.mark.registry
def test_a_real_registry_lets_the_right_credential_in(
    containerd: Containerd,
    docker_registry: DockerRegistry,
    short_path: Path,
    run_fetch: RunFetch,
    docker_config: WriteConfig,
) -> None:
    with DockerRegistry(short_path / "registry", htpasswd=HTPASSWD) as registry:
        name = registry.push("private/app:1", make_image(seed="htpasswd"), username="ann", password="1")
        wrong = docker_config({registry.address: entry("ann", WRONG)})
        refused = run_fetch(containerd, name, docker_config=wrong, **SLOW)
        right = docker_config({registry.address: entry("ann", "1")})
        let_in = run_fetch(containerd, name, docker_config=right)

    assert (1, "unauthorized") == (refused.code, refused.result(name)["reason"])
    assert 0 == let_in.code


def test_a_bad_entry_is_a_warning_without_its_content(
    containerd: Containerd, private: str, fake_registry: FakeRegistry, run_fetch: RunFetch, docker_config: WriteConfig
) -> None:
    config = docker_config({"other.test": {"auth": f"{WRONG}!"}, fake_registry.address: entry("ann", RIGHT)})

    ended = run_fetch(containerd, private, docker_config=config)

    (notice,) = [line for line in ended.log if "other.test" in line["msg"]]
    assert (0, "WARN") == (ended.code, notice["level"])
    no_secret_in(ended)


def test_explain_names_credentials_in_order_without_secrets(
    private: str, fake_registry: FakeRegistry, start: Start, docker_config: WriteConfig, short_path: Path
) -> None:
    address = fake_registry.address
    config = docker_config({address: entry("bob", RIGHT), f"{address}/private": entry("ann", WRONG)})
    arguments = (f"--docker-config={config}", f"--cri-socket={short_path}/none.sock", private)

    ended = start("explain", "--output=json", *arguments).end()
    table = start("explain", *arguments).end()

    source = f"docker-config {config.parent.name}"
    assert [
        {"source": source, "key": f"{address}/private", "username": "ann"},
        {"source": source, "key": address, "username": "bob"},
    ] == [
        {name: credential[name] for name in ("source", "key", "username")}
        for credential in json.loads(ended.stdout)[0]["credentials"]
    ]
    assert table.stdout.index("ann") < table.stdout.index("bob")
    no_secret_in(ended)
    no_secret_in(table)
