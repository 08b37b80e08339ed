"""Credential provider programs, run for real: what they do well, and whatever they can do wrong."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from nodeprefetch_kubelet import make_providers, process
from nodeprefetch_kubelet.errors import KubeletProviderError
from nodeprefetch_kubelet.process import GRACE, MAX_OUTPUT

from nodeprefetch.credentials.api import CacheKeyType, PluginContext, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.values.image_ref import ImageRef

SECRET = "s3cr3t-0f-m1ne"
IMAGE = ImageRef.parse("quay.io/team/app:1.2")
V1 = "credentialprovider.kubelet.k8s.io/v1"
PATH = os.environ["PATH"]
ANSWER = json.dumps(
    {
        "apiVersion": V1,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "cacheDuration": "5m0s",
        "auth": {"quay.io": {"username": "u", "password": SECRET}},
    }
)
PROVIDED = AuthConfig(username="u", password=SECRET)


class Installed:
    """One program that the kubelet's configuration names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        self.program = directory / "fake-provider"
        (directory / "answer").write_text(ANSWER)

    def provider(
        self,
        script: str,
        *,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, tuple[str, ...]] | None = None,
        **members: Any,
    ) -> Any:
        """A provider whose program is a shell script, run with the directory in $HERE."""
        self.program.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        self.program.chmod(0o755)
        config = self.directory / "config.json"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "kubelet.config.k8s.io/v1",
                    "kind": "CredentialProviderConfig",
                    "providers": [
                        {
                            "name": self.program.name,
                            "matchImages": ["quay.io"],
                            "defaultCacheDuration": "1m",
                            "apiVersion": V1,
                        }
                        | members
                    ],
                }
            )
        )
        given = {"config": (str(config),), "bin-dir": (str(self.directory),)}
        [provider] = make_providers(
            PluginContext(
                name="kubelet",
                options=given | dict(options or {}),
                environment={"PATH": PATH, "HERE": str(self.directory)} | dict(environment or {}),
                warn=self.warnings.append,
            )
        )
        return provider

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    async def pid_in(self, name: str) -> int:
        """The process ID that the program writes into a file, once it has."""
        path = self.directory / name
        with trio.fail_after(300):
            while not path.exists() or not path.read_text().endswith("\n"):  # noqa: ASYNC110 - another process writes
                await trio.sleep(0.005)
        return int(path.read_text())


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def state_of(pid: int) -> str:
    """`S` of a process that sleeps, `Z` of one that only waits to be reaped, `gone`."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


async def ended(pid: int) -> bool:
    """Whether a process ends soon."""
    for _ in range(400):
        if state_of(pid) in {"gone", "Z"}:
            return True
        await trio.sleep(0.01)
    return False


async def failure_of(provider: Any) -> str:
    with pytest.raises(KubeletProviderError) as caught:
        await provider.get_credentials(IMAGE)
    assert SECRET not in repr(caught.value)
    return str(caught.value)


async def test_a_program_is_asked_on_stdin_and_answers_on_stdout(installed: Installed) -> None:
    """It is asked for the name without the tag; its stderr is nobody's business as long as all is well."""
    provider = installed.provider('cat > "$HERE/request"; echo noise >&2; cat "$HERE/answer"')

    provided = await provider.get_credentials(IMAGE)

    assert [PROVIDED] == [entry.auth for entry in provided.entries]
    assert (CacheKeyType.REGISTRY, 300.0) == (provided.cache_key_type, provided.cache_duration)
    assert {"apiVersion": V1, "kind": "CredentialProviderRequest", "image": "quay.io/team/app"} == json.loads(
        installed.read("request")
    )
    assert [] == installed.warnings


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
async def test_a_program_is_spoken_to_in_its_own_version(installed: Installed, version: str) -> None:
    """This one answers in the version it is asked in."""
    provider = installed.provider(
        """
        version=$(sed 's/.*"apiVersion":"\\([^"]*\\)".*/\\1/')
        sed "s|credentialprovider.kubelet.k8s.io/v1|$version|" "$HERE/answer"
        """,
        apiVersion=f"credentialprovider.kubelet.k8s.io/{version}",
    )

    assert 1 == len((await provider.get_credentials(IMAGE)).entries)


async def test_a_program_gets_its_arguments_and_variables(installed: Installed) -> None:
    """It inherits the environment; what the configuration sets wins."""
    provider = installed.provider(
        'for word in "$@" "$INHERITED" "$BOTH" "$SET"; do echo "<$word>"; done > "$HERE/words"; cat "$HERE/answer"',
        args=["get credentials", "", "--v=3"],
        env=[{"name": "BOTH", "value": "configured"}, {"name": "SET", "value": "set"}],
        environment={"INHERITED": "inherited", "BOTH": "inherited"},
    )

    await provider.get_credentials(IMAGE)

    expected = ["<get credentials>", "<>", "<--v=3>", "<inherited>", "<configured>", "<set>"]
    assert expected == installed.read("words").splitlines()


async def test_an_answer_that_does_not_say_holds_as_long_as_configured(installed: Installed) -> None:
    provider = installed.provider("""sed 's/"cacheDuration": "5m0s",//' "$HERE/answer" """)

    assert 60.0 == (await provider.get_credentials(IMAGE)).cache_duration


async def test_a_program_may_know_nothing(installed: Installed) -> None:
    provider = installed.provider("""sed 's/"auth": .*/"auth": {}}/' "$HERE/answer" """)

    assert ProvidedCredentials(cache_key_type=CacheKeyType.REGISTRY, cache_duration=300.0) == (
        await provider.get_credentials(IMAGE)
    )


async def test_calls_run_side_by_side(installed: Installed) -> None:
    """Each of two waits for the other one's file."""
    provider = installed.provider(
        """
        image=$(sed 's/.*image":"[^"]*\\/\\([ab]\\)".*/\\1/')
        touch "$HERE/$image.here"
        while [ ! -e "$HERE/a.here" ] || [ ! -e "$HERE/b.here" ]; do sleep 0.01; done
        cat "$HERE/answer"
        """
    )
    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(provider.get_credentials, ImageRef.parse("quay.io/a"))
            nursery.start_soon(provider.get_credentials, ImageRef.parse("quay.io/b"))


async def test_a_token_is_read_for_each_call(installed: Installed, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first.token\n")
    provider = installed.provider(
        'cat > "$HERE/request"; cat "$HERE/answer"',
        options={"token-file": (f"fake-provider={token}",)},
        tokenAttributes={
            "serviceAccountTokenAudience": "aud",
            "cacheType": "Token",
            "requireServiceAccount": True,
            "optionalServiceAccountAnnotationKeys": ["role"],
        },
    )
    for text in ("first.token", "second.token"):
        token.write_text(f"{text}\n")
        await provider.get_credentials(IMAGE)
        request = json.loads(installed.read("request"))

        assert (text, False) == (request["serviceAccountToken"], "serviceAccountAnnotations" in request)

    token.unlink()
    assert "the token file cannot be read: No such file or directory" == await failure_of(provider)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "exited with status 3"),
        ('cat "$HERE/answer"; exit 1', "exited with status 1"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("kill -35 $$", "killed by signal 35"),
        ("exit 0", "produced no output"),
        (f"echo {SECRET}", "invalid response: not JSON: JSON is malformed: invalid character (byte 0)"),
        ("""sed s/v1/v1beta1/ "$HERE/answer" """, f"invalid response: requested apiVersion {V1}, got {V1}beta1"),
        (
            """sed s/Response/Request/ "$HERE/answer" """,
            "invalid response: wrong kind (must be CredentialProviderResponse)",
        ),
        (
            """sed s/cacheKeyType/x/ "$HERE/answer" """,
            "invalid response: cacheKeyType is missing (must be Image, Registry, Global)",
        ),
        (
            """sed s/Registry/Host/ "$HERE/answer" """,
            "invalid response: unknown cacheKeyType (must be Image, Registry, Global)",
        ),
        ("""sed s/5m0s/soon/ "$HERE/answer" """, "invalid response: cacheDuration must be a duration like 5m0s"),
        ("head -c 10485760 /dev/zero", f"killed after writing more than {MAX_OUTPUT} bytes"),
        ("yes", f"killed after writing more than {MAX_OUTPUT} bytes"),
    ],
)
async def test_each_failure_has_a_message(installed: Installed, script: str, problem: str) -> None:
    assert problem == await failure_of(installed.provider(script))


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("#!/no/such/interpreter\n", "the file, or the interpreter or loader that it needs, does not exist"),
        ("#!/etc\n", "Permission denied"),
        ("\x7fELF", "Exec format error"),
    ],
)
async def test_a_program_that_cannot_be_started_is_named(installed: Installed, head: str, problem: str) -> None:
    provider = installed.provider("")
    installed.program.write_text(head)

    assert f"{installed.program} cannot be started: {problem}" == await failure_of(provider)


async def test_a_failed_program_s_stderr_is_told_without_secrets(installed: Installed) -> None:
    provider = installed.provider(
        f'cat "$HERE/answer"; echo "no role; have {SECRET} and $MY_TOKEN" >&2; exit 1',
        env=[{"name": "MY_TOKEN", "value": "t0ken-0f-m1ne"}],
    )
    await failure_of(provider)

    assert ["fake-provider wrote to stderr: no role; have *** and ***"] == installed.warnings


async def test_endless_stderr_does_not_block_or_fill_memory(installed: Installed) -> None:
    provider = installed.provider("head -c 10485760 /dev/zero | tr '\\\\0' 'x' >&2; echo ' the end' >&2; exit 1")

    assert "exited with status 1" == await failure_of(provider)
    assert ["fake-provider wrote to stderr: the end"] == installed.warnings


async def test_what_is_odd_in_each_answer_is_said_once(installed):
    provider = installed.provider("""sed 's/"kind"/"more": 1, "kind"/' "$HERE/answer" """)

    for _ in range(2):
        assert PROVIDED == (await provider.get_credentials(IMAGE)).entries[0].auth

    assert ["fake-provider: response contains an unknown field, ignored"] == installed.warnings


async def test_a_program_need_not_read_its_request(installed: Installed, tmp_path: Path) -> None:
    """More than a pipe takes, so that writing it fails half-way."""
    (tmp_path / "token").write_text("x" * 60_000)
    provider = installed.provider(
        'exec <&-; cat "$HERE/answer"',
        options={"token-file": (str(tmp_path / "token"),)},
        args=["x"],
        tokenAttributes={
            "serviceAccountTokenAudience": "aud",
            "cacheType": "ServiceAccount",
            "requireServiceAccount": False,
        },
    )

    assert [PROVIDED] == [entry.auth for entry in (await provider.get_credentials(IMAGE)).entries]


async def test_a_request_larger_than_a_pipe_is_not_waited_for(monkeypatch, installed: Installed) -> None:
    """Nobody reads it, and nobody closes the pipe: a child of the program has it."""
    monkeypatch.setattr(process, "GRACE", 0.05)
    stdout = process.Output()
    argv = ["/bin/sh", "-c", "sleep 100 & echo done"]

    with trio.fail_after(300):
        await process.run_program(
            argv, env={"PATH": PATH}, request=b"x" * 1_000_000, stdout=stdout, stderr=lambda _data: None
        )

    assert b"done\n" == stdout.data


async def test_a_child_that_holds_the_output_open_is_not_waited_for(installed: Installed) -> None:
    """What was written before counts, and the child is killed."""
    provider = installed.provider('sleep 100 & echo $! > "$HERE/pid"; cat "$HERE/answer"')
    start = time.monotonic()

    provided = await provider.get_credentials(IMAGE)

    assert [PROVIDED] == [entry.auth for entry in provided.entries]
    assert GRACE <= time.monotonic() - start < GRACE + 10
    assert await ended(await installed.pid_in("pid"))


async def test_a_child_that_was_left_behind_is_killed(installed: Installed) -> None:
    provider = installed.provider('sleep 100 >/dev/null 2>&1 </dev/null & echo $! > "$HERE/pid"; cat "$HERE/answer"')

    await provider.get_credentials(IMAGE)

    assert await ended(await installed.pid_in("pid"))


async def test_a_child_in_a_session_of_its_own_is_not_waited_for(installed: Installed) -> None:
    """It escapes the kill, and holds the output; nothing hangs."""
    provider = installed.provider(
        """
        setsid sh -c 'echo $$ > "$HERE/pid"; exec sleep 100' &
        while [ ! -s "$HERE/pid" ]; do sleep 0.01; done
        cat "$HERE/answer"
        """
    )
    with trio.fail_after(300):
        provided = await provider.get_credentials(IMAGE)
    pid = await installed.pid_in("pid")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)

    assert 1 == len(provided.entries)


@pytest.mark.parametrize("deaf", ["", "trap '' TERM INT HUP;"])
async def test_a_cut_kills_the_program_and_its_children(installed: Installed, deaf: str) -> None:
    provider = installed.provider(
        f"""
        {deaf}
        echo about to hang >&2
        sh -c 'echo $$ > "$HERE/child"; sleep 100' &
        echo $$ > "$HERE/leader"
        wait
        sleep 100
        """
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(provider.get_credentials, IMAGE)
        pids = [await installed.pid_in(name) for name in ("leader", "child")]
        nursery.cancel_scope.cancel()

    assert "gone" == state_of(pids[0])
    assert await ended(pids[1])
    assert ["fake-provider wrote to stderr: about to hang"] == installed.warnings


async def test_a_call_in_a_cancelled_scope_leaves_no_process(installed: Installed) -> None:
    provider = installed.provider('echo $$ > "$HERE/pid"; sleep 100')
    with trio.CancelScope() as scope:
        scope.cancel()
        await provider.get_credentials(IMAGE)

    assert scope.cancelled_caught
    if (installed.directory / "pid").exists():
        assert "gone" == state_of(await installed.pid_in("pid"))


async def test_too_much_output_kills_the_children_too(installed: Installed) -> None:
    provider = installed.provider('yes & echo $! > "$HERE/pid"; wait')

    await failure_of(provider)

    assert await ended(await installed.pid_in("pid"))


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_no_file_stays_open(installed: Installed) -> None:
    """Ten calls, well and badly ended."""

    async def call() -> None:
        provider = installed.provider('cat "$HERE/answer"')
        for _ in range(5):
            await provider.get_credentials(IMAGE)
        provider = installed.provider("exit 1")
        for _ in range(5):
            await failure_of(provider)
            with trio.move_on_after(0.001):
                await provider.get_credentials(IMAGE)

    trio.run(call)  # what is loaded and opened once is there then
    before = open_files()
    trio.run(call)

    assert before == open_files()


SUBREAPER = """
import ctypes, os, sys
import trio
from nodeprefetch_kubelet import process

PR_SET_CHILD_SUBREAPER = 36
assert 0 == ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

async def main():
    argv = ["/bin/sh", "-c", "sleep 100 >/dev/null 2>&1 & sleep 101 >/dev/null 2>&1 & exit 0"]
    await process.run_program(argv, env=dict(os.environ), request=b"", stdout=process.Output(), stderr=print)

trio.run(main)
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("none is left")
"""


def test_orphans_are_reaped_where_they_come_to_us(tmp_path: Path) -> None:
    """As they do to the first process of a container."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SUBREAPER], capture_output=True, text=True, env=environment, check=False, timeout=300
    )

    assert ("none is left\n", "") == (done.stdout, done.stderr)
