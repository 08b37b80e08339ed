"""`discover --resolve`: which digest a tag stands for, asked of registries that want all kinds of logins, and fail."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from nodeprefetch.cli.commands import run
from nodeprefetch.credentials.auth import AuthConfig, Credential, Verdict
from nodeprefetch.discover import registries
from nodeprefetch.discover.images import FoundImage
from nodeprefetch.discover.registries import Registries, RegistryError
from nodeprefetch.discover.resolve import resolved
from nodeprefetch.errors import UsageError
from nodeprefetch.testing import FakeCredentialSource
from nodeprefetch.testing.credentials import FakeLookup
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from nodeprefetch.values.image_ref import ImageRef

IMAGE = make_image(seed="resolve")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries, "_PAUSES", (0.0, 0.0))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        running.add("team/app:1", IMAGE)
        yield running


def digest(registry: FakeRegistry, *users: str, name: str = "team/app:1") -> tuple[str, list[tuple[str, Verdict]]]:
    """What is found, and what is reported about logins."""
    source = FakeCredentialSource(logins={registry.address: users})

    async def ask() -> str:
        async with Registries(source, {}) as asked:
            return await asked.digest(ImageRef.parse(f"{registry.address}/{name}"))

    return trio.run(ask), source.verdicts


def problem(registry: FakeRegistry, *users: str, name: str = "team/app:1") -> str:
    with pytest.raises(RegistryError) as error:
        digest(registry, *users, name=name)
    return str(error.value)


def test_without_a_login(registry: FakeRegistry) -> None:
    assert (IMAGE.digest, []) == digest(registry)
    assert (IMAGE.digest, []) == digest(registry, name=f"team/app@{IMAGE.digest}")


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_with_logins_in_turn(registry: FakeRegistry, scheme: str) -> None:
    require = registry.require_basic if scheme == "basic" else registry.require_bearer
    require({"right": "secret-of-right"})

    assert (IMAGE.digest, [("wrong", Verdict.REFUSED), ("right", Verdict.WORKED)]) == digest(
        registry, "wrong", "right", "other"
    )
    assert problem(registry).startswith("access denied")
    assert problem(registry, "wrong").startswith("access denied")


def test_an_identity_token_is_exchanged(registry: FakeRegistry) -> None:
    registry.require_bearer({"me": "x"}, identity_tokens={"refresh-me": "me"})
    auth = AuthConfig(identity_token="refresh-me")
    credential = Credential(source="x", key=registry.address, auth=auth)

    @contextmanager
    def look_up(_: ImageRef) -> Iterator[FakeLookup]:
        yield FakeLookup(credentials=[credential], matched=(credential,), is_complete=True, verdicts=[])

    async def ask() -> str:
        async with Registries(SimpleNamespace(look_up=look_up), {}) as asked:
            return await asked.digest(ImageRef.parse(f"{registry.address}/team/app:1"))

    assert IMAGE.digest == trio.run(ask)


def test_an_image_that_is_not_there(registry: FakeRegistry) -> None:
    assert "the registry does not have this image" == problem(registry, name="team/other:1")


@pytest.mark.parametrize("fault", [Fault.status(503), Fault.status(429)])
def test_errors_that_may_pass_are_asked_again(registry: FakeRegistry, fault: Fault) -> None:
    registry.fail("manifest", fault, fault)
    assert (IMAGE.digest, []) == digest(registry)

    registry.fail("manifest", fault, forever=True)
    assert problem(registry)


class Strange(BaseHTTPRequestHandler):
    """A registry that answers as the test says: by path, status and headers."""

    address: str
    answers: dict[str, tuple[int, dict[str, str], bytes]]
    seen: list[tuple[str, str, str]]

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
        status, headers, body = self.answers[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@pytest.fixture
def strange() -> Iterator[type[Strange]]:
    class Handler(Strange):
        pass

    Handler.answers, Handler.seen = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Handler.address = f"127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def ask(address: str, *users: str) -> str:
    async def main() -> str:
        async with Registries(FakeCredentialSource(logins={address: users}), {}) as asked:
            return await asked.digest(ImageRef.parse(f"{address}/a:1"))

    return trio.run(main)


MANIFEST = "/v2/a/manifests/1"


def test_without_the_header_the_manifest_is_hashed(strange: type[Strange]) -> None:
    strange.answers[MANIFEST] = (200, {}, b"{}")

    assert "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" == ask(strange.address)


def test_a_redirection_is_followed_without_the_login(strange: type[Strange]) -> None:
    elsewhere = strange.address.replace("127.0.0.1", "127.0.0.2")
    login = {"WWW-Authenticate": 'Basic realm="x"'}
    server = ThreadingHTTPServer(("127.0.0.2", 0), strange)
    elsewhere = f"127.0.0.2:{server.server_port}"
    threading.Thread(target=server.serve_forever).start()
    strange.answers[MANIFEST] = (401, login, b"")
    strange.answers["/moved"] = (200, {"Docker-Content-Digest": IMAGE.digest}, b"")
    original = strange.do_GET

    def logged_in(self) -> None:
        if self.path == MANIFEST and self.headers.get("Authorization"):
            self.answers = {MANIFEST: (307, {"Location": f"http://{elsewhere}/moved"}, b"")}
        original(self)

    strange.do_HEAD = logged_in
    try:
        assert IMAGE.digest == ask(strange.address, "me")
    finally:
        server.shutdown()
        server.server_close()

    basic = f"Basic {base64.b64encode(b'me:secret-of-me').decode()}"
    assert [MANIFEST, MANIFEST, "/moved"] == [path for _, path, _ in strange.seen]
    assert ["", basic, ""] == [sent for _, _, sent in strange.seen]


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({"Docker-Content-Digest": "sha256:x"}, 200, "no valid digest"),
        ({}, 418, "HTTP status 418"),
        ({"Location": "/v2/a/manifests/1"}, 302, "too many redirections"),
        ({"Location": "gopher://x/"}, 302, "invalid address"),
        ({"Location": "http://[::"}, 302, "invalid address"),
        ({"WWW-Authenticate": "Negotiate"}, 401, "access denied"),
        ({"WWW-Authenticate": "Bearer scope=x"}, 401, "access denied"),
        ({"WWW-Authenticate": 'Bearer realm="nothing"'}, 401, "invalid address"),
    ],
)
def test_strange_answers_are_problems(
    strange: type[Strange], headers: dict[str, str], status: int, expected: str
) -> None:
    strange.answers[MANIFEST] = (status, headers, b"")

    with pytest.raises(RegistryError, match=expected):
        ask(strange.address, "me")


def test_a_token_server_that_sends_none_is_a_problem(strange: type[Strange]) -> None:
    strange.answers[MANIFEST] = (401, {"WWW-Authenticate": f'Bearer realm="http://{strange.address}/t"'}, b"")
    strange.answers["/t"] = (200, {}, b"nothing")

    with pytest.raises(RegistryError, match="sent no token"):
        ask(strange.address, "me")


def test_the_login_does_not_follow_to_the_same_host_without_tls() -> None:
    """The registry here only says what it is asked."""
    seen = []

    class Scripted(Registries):
        async def _request(self, method, url, headers, form=None):
            seen.append((url, headers["Authorization"]))
            if url.startswith("http:"):
                return registries._Answer(200, {"docker-content-digest": IMAGE.digest}, b"")
            if headers["Authorization"]:
                return registries._Answer(307, {"location": "http://registry.test/moved"}, b"")
            return registries._Answer(401, {"www-authenticate": "Basic"}, b"")

    async def main() -> str:
        async with Scripted(FakeCredentialSource(logins={"registry.test": ["me"]}), {}) as asked:
            return await asked.digest(ImageRef.parse("registry.test/a:1"))

    assert IMAGE.digest == trio.run(main)
    assert ("http://registry.test/moved", "") == seen[-1]
    assert 3 == len(seen)


def found(name: str) -> FoundImage:
    return FoundImage(image=name, guessed=False, nodes=0, digests=(), places=())


def test_all_images_without_a_digest_are_reported(registry: FakeRegistry) -> None:
    good, gone, away = f"{registry.address}/team/app:1", f"{registry.address}/team/gone:1", "127.0.0.1:1/x:1"

    async def main() -> None:
        await resolved([found(good), found(gone), found(away)], FakeCredentialSource(), {})

    with pytest.raises(UsageError) as error:
        trio.run(main)

    first, second = error.value.problems
    assert f"{gone}: the registry does not have this image" == first
    assert second.startswith(f"{away}: ")
    assert "refused" in second


def test_the_command_pins_tags_with_the_login_of_fetch(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.require_bearer({"me": "secret-of-me"})
    secret = tmp_path / "config.json"
    secret.write_text(json.dumps({"auths": {registry.address: {"username": "me", "password": "secret-of-me"}}}))
    pinned = f"{registry.address}/team/app@{IMAGE.digest}"
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"image": image}]}}
        for name, image in (("web", f"{registry.address}/team/app:1"), ("db", pinned))
    ]
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps(pods))

    assert 0 == run(["discover", "--resolve", f"--docker-config={secret}", str(manifest)])
    assert (
        f"{registry.address}/team/app:1@{IMAGE.digest}  # 1x in Pod/web\n{pinned}  # 1x in Pod/db\n"
        == capsys.readouterr().out
    )

    assert 2 == run(["discover", "--resolve", str(manifest)])
    captured = capsys.readouterr()
    assert "" == captured.out
    assert f"{registry.address}/team/app:1: access denied" in captured.err
