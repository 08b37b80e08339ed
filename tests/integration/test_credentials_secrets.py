"""Whatever happens, no secret is in what the program says, nor on a command line: all of it is searched."""

import base64
import json
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.credential_sources import Programs, entry, install, processes_of, write_secret
from tests.integration.program import Ended, Program, Start, flags
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.containerd

USERS = ("ann", "bob", "robot", "<token>")


@dataclass
class Vault:
    """Secrets made up for this run, by what they are for, in a form that needs escaping."""

    made: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.made.setdefault(name, f"{secrets.token_urlsafe(9)}/+&{secrets.token_urlsafe(9)}")

    def found_in(self, text: str) -> set[str]:
        """Which of them are there, in any form."""
        return {name for name, secret in self.made.items() if any(form in text for form in forms(secret))}


def forms(secret: str) -> Iterator[str]:
    """As it is, escaped in the ways of JSON and URLs, and in base64, alone and behind a user's name."""
    yield from (secret, quote(secret, safe=""), quote(secret), secret.replace("&", "\\u0026"))
    for text in (secret, *(f"{user}:{secret}" for user in USERS)):
        encoded = base64.b64encode(text.encode()).decode().rstrip("=")
        yield from (encoded[:-2], encoded[:-2].replace("+", "-").replace("/", "_"))


class Watched:
    """Looks at the processes of a program all the time, until it ends."""

    def __init__(self, program: Program) -> None:
        self.command_lines: set[str] = set()
        self.environments: dict[int, set[str]] = {}  # all that were seen: while a process ends, it has none
        self._program = program
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> Ended:
        ended = self._program.end()
        self._ended.set()
        self._thread.join(PATIENCE)
        return ended

    def _look(self) -> None:
        while not self._ended.wait(0.005):
            for pid, (command_line, environment) in processes_of(self._program.pid).items():
                self.command_lines.add(command_line.replace(b"\0", b" ").decode(errors="replace"))
                self.environments.setdefault(pid, set()).add(environment.decode(errors="replace"))


class Everything:
    """All that was said and seen."""

    def __init__(self, start: Start, how: Mapping[str, object]) -> None:
        self.said: list[str] = []
        self.command_lines: set[str] = set()
        self.environments: list[str] = []
        self._start = start
        self._how = how

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Program]:
        """A program, from its start to its end."""
        program = self._start(*arguments, **self._how)
        watched = Watched(program)
        yield program
        ended = watched.end()
        self.said += [ended.stdout, ended.stderr]
        self.command_lines |= watched.command_lines
        self.environments.append("".join(watched.environments.get(program.pid, ())))

    def run(self, *arguments: str) -> str:
        """What it said, too."""
        with self.running(*arguments):
            pass
        return "".join(self.said[-2:])


def add_programs(programs: Programs, vault: Vault) -> None:
    """One that answers, and three that fail and say their secrets wherever they can."""
    programs.answer("good", "robot", vault["of the good program"])
    variable = {"name": "API_TOKEN", "value": vault["in the environment"]}
    programs.add("good", 'sleep 0.1; cat "$HERE/good.json"', env=[variable])
    told = vault["right"]  # which a pull secret holds
    programs.add("tells", f"sleep 0.3; echo 'not {told}, nor {base64.b64encode(told.encode()).decode()}' >&2; exit 3")
    programs.add("garbage", loud(f"ok: {vault['garbage']}", vault["garbage"], "exit 3"), env=[variable])
    other = {"apiVersion": "v9", "auth": {"x": {"username": "robot", "password": vault["of another version"]}}}
    secret = vault["of another version"]
    alone = base64.b64encode(secret.encode()).decode()
    programs.add("version", loud(json.dumps(other), secret, f"echo 'once more: {alone}' >&2"))


def loud(stdout: str, secret: str, last: str) -> str:
    """A script that writes this, and on stderr the secret in several ways."""
    pair = base64.b64encode(f"robot:{secret}".encode()).decode()
    said = [f"login robot:{secret} failed", f"Authorization: Basic {pair}", f"password={secret}", secret]
    echoes = [f"echo '{line}' >&2" for line in (*said, "token=$API_TOKEN")]
    return "\n".join([f"printf '%s' '{stdout}'", *echoes, "sleep 0.1", last])


def echo(*logins: tuple[str, str]) -> Fault:
    """A refusal that says the login back, as some proxies do."""
    said = [f"{user}:{secret} Authorization: Basic {entry(user, secret)['auth']}" for user, secret in logins]
    body = json.dumps({"errors": [{"code": "DENIED", "message": "; ".join(said)}]}).encode()
    return Fault.status(403, headers={"Content-Type": "application/json"}, body=body)


def test_no_secret_is_said_or_shown(
    containerd: Containerd, fake_registry: FakeRegistry, start: Start, tmp_path: Path
) -> None:
    vault, programs = Vault(), Programs(tmp_path / "programs", fake_registry.address)
    address = fake_registry.address
    add_programs(programs, vault)
    fake_registry.require_basic({"ann": vault["right"]}, prefix="basic")
    users = {"ann": vault["right"], "robot": vault["of the good program"]}
    fake_registry.require_bearer(users, identity_tokens={vault["identity"]: "ann"})
    images = {
        name: fake_registry.add(name, make_image(seed=f"secrets {name}"))
        for name in ("basic/right:1", "basic/wrong:1", "basic/echo:1", "bearer/right:1", "bearer/echo:1", "identity:1")
    }
    fake_registry.fail("layer", echo(("ann", vault["right"])), image="basic/echo:1", forever=True)
    fake_registry.fail("token", echo(("ann", vault["wrong"])), image="bearer/echo:1", forever=True)
    config = write_secret(
        tmp_path / "secrets.json",
        {
            f"{address}/basic": entry("ann", vault["right"]),
            f"{address}/basic/wrong": entry("ann", vault["wrong"]),
            f"{address}/bearer/echo": entry("ann", vault["wrong"]),
            f"{address}/identity": {**entry("<token>", ""), "identitytoken": vault["identity"]},
            "registry.test": {"registrytoken": vault["registry"]},
            "bad.test": {"auth": vault["no base64"]},
            "worse.test": {"auth": base64.b64encode(vault["no colon"].encode()).decode()},
            "odd.test": {"password": [vault["in a list"]]},  # type: ignore[dict-item]
        },
    )
    install(
        tmp_path / "site",
        "anyones_vault",
        f"""
        class Provider:
            password = {vault["of a plugin"]!r}
            def get_credentials(self, image):
                raise RuntimeError(f"no login with {{self.password}}")
            def __repr__(self):
                return self.password
        def make(context):
            return Provider()
        """,
        plugins=["vault"],
    )
    everything = Everything(start, {"environment": {"PYTHONPATH": str(tmp_path / "site")}})
    logins = flags({"docker_config": config, **programs.options})
    fetch = ["fetch", f"--cri-socket={containerd.socket}", "--debug", *logins, "--pull-policy=Always"]
    fetch += ["--overall-timeout=8s", "--initial-pull-attempt-delay=200ms", *images.values()]

    json_log = everything.run(*fetch, "--log-format=json")
    logfmt_log = everything.run(*fetch, "--log-format=logfmt")
    explain = ["explain", "--ask-plugins", *logins, *images.values()]
    explained = everything.run(*explain, "--output=json")
    everything.run(*explain)
    everything.run("plugins", "--output=json", *logins)
    everything.run("plugins", *logins)
    say_nothing_of_what_cannot_be_used(everything, vault, tmp_path)
    say_nothing_of_what_is_cut(everything, vault, containerd, fake_registry, tmp_path)

    said = "".join(everything.said)
    assert set() == vault.found_in(said)
    assert set() == vault.found_in("\n".join(everything.command_lines))
    assert set() == vault.found_in("\n".join(everything.environments))
    # and all of it happened
    assert {"identity", "right", "wrong", "of the good program", "garbage", "of another version"} <= vault.made.keys()
    for log in (json_log, logfmt_log):
        assert all(
            text in log
            for text in ("ann:***", "wrote to stderr", "identity token", "raised RuntimeError", "not ***, nor ***")
        )
    assert all(name in explained for name in ("ann", "robot", "identity token", "kubelet/good"))
    for name in ("good", "garbage", "version"):
        assert any(f"/bin/{name}" in line for line in everything.command_lines), name
    assert all("PYTHONPATH" in environment for environment in everything.environments)


def say_nothing_of_what_cannot_be_used(everything: Everything, vault: Vault, directory: Path) -> None:
    """Files that are broken in the middle of a secret, and options that no plugin knows."""
    broken = directory / "broken.json"
    broken.write_text(f'{{"auths": {{"x": {{"password": "{vault["in a broken file"]}}}')
    (directory / "config.json").write_text(
        json.dumps({"kind": "x", "env": [{"name": "T", "value": vault["in a broken config"]}]})
    )
    said = everything.run(
        *("fetch", "app:1", f"--docker-config={broken}"),
        f"--image-credential-provider-config={directory / 'config.json'}",
        f"--image-credential-provider-bin-dir={directory}",
    )
    assert "not JSON" in said
    assert "config.json: " in said


def say_nothing_of_what_is_cut(
    everything: Everything, vault: Vault, containerd: Containerd, registry: FakeRegistry, directory: Path
) -> None:
    """SIGTERM while a program has half of its answer out."""
    secret = vault["of a program that hangs"]
    programs = Programs(directory / "hanging", registry.address)
    half = f'{{"auth": {{"x": {{"username": "robot", "password": "{secret}"'
    programs.add("hangs", loud(half, secret, 'echo 1 > "$HERE/said"; sleep 1000'))
    arguments = ["fetch", f"--cri-socket={containerd.socket}", *flags(programs.options)]
    with everything.running(*arguments, f"{registry.address}/cut:1") as program:
        end = time.monotonic() + PATIENCE
        while not programs.numbers("said"):
            assert time.monotonic() < end
            time.sleep(0.01)
        program.send(signal.SIGTERM)
    assert "wrote to stderr" in everything.said[-1]
