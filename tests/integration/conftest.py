"""What integration tests run the program with."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.cli.commands import run
from tests.integration.keeping import Keep
from tests.integration.program import (
    Ended,
    Program,
    RunFetch,
    RunHere,
    Start,
    StartFetch,
    fetch_arguments,
    private_environment,
)
from tests.integration.reported import LABELS, NODE, ReportingNode
from tests.support.containerd import Containerd
from tests.support.fake_kube import FakeKube
from tests.support.spawn import find_program


@pytest.fixture(scope="session", autouse=True)
def _sigint_as_at_a_terminal() -> None:
    """A shell ignores SIGINT for what it runs in the background, and so would every program that is started here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `nodeprefetch ARGUMENTS…`; see `Program` for the rest. What still runs in the end is killed."""
    running: list[Program] = []

    def start_program(*arguments: str, **how: object) -> Program:
        program = Program(arguments, **how)  # type: ignore[arg-type]
        running.append(program)
        return program

    yield start_program
    for program in running:
        program.kill()


@pytest.fixture
def start_fetch(start: Start) -> StartFetch:
    """Starts a quick `fetch`: `start_fetch(containerd, *images, debug=True)`. Without a containerd it looks for one."""

    def start_it(
        containerd: Containerd | None, *images: str, how: dict[str, object] | None = None, **options: object
    ) -> Program:
        return start(*fetch_arguments(containerd, images, options), **(how or {}))

    return start_it


@pytest.fixture
def run_fetch(start_fetch: StartFetch) -> RunFetch:
    """As `start_fetch`, and waits for its end."""

    def run_it(containerd: Containerd | None, *images: str, **options: object) -> Ended:
        return start_fetch(containerd, *images, **options).end()

    return run_it


@pytest.fixture
def keep(start: Start) -> Iterator[Keep]:
    """Starts `keep` with short intervals: `keep(containerd, *images, image_list_file=…)`."""
    started: list[Program] = []

    def start_it(
        containerd: Containerd, *images: str, how: dict[str, object] | None = None, **options: object
    ) -> Program:
        usual = {"check_every": "1s", "refresh_every": "never"}
        started.append(start("keep", *fetch_arguments(containerd, images, {**usual, **options})[1:], **(how or {})))
        return started[-1]

    yield start_it
    for program in started:
        program.send(signal.SIGTERM)  # killed, it would leave its run
        program.end()


@pytest.fixture
def run_here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunHere:
    """Runs `nodeprefetch ARGUMENTS…` in this process: a quarter of the CPU time, for what is the same in both."""

    def run_it(*arguments: str) -> Ended:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in private_environment().items():
                patch.setenv(name, value)
            code = run(arguments)
        written = capfd.readouterr()
        return Ended(code=code, stdout=written.out, stderr=written.err)

    return run_it


@pytest.fixture
def fetch_here(run_here: RunHere) -> RunHere:
    """As `run_here`, a quick `fetch`."""
    return lambda *images, **options: run_here(*fetch_arguments(None, images, options))


@pytest.fixture
def node(containerd: Containerd, start_fetch: StartFetch, tmp_path: Path) -> Iterator[ReportingNode]:
    """A node in a cluster of this test alone; its runtime is shared."""
    with FakeKube() as kube:
        kube.add_node(NODE, LABELS)
        yield ReportingNode(
            containerd=containerd,
            kube=kube,
            kubeconfig=kube.write_kubeconfig(tmp_path),
            service_account=kube.write_service_account(tmp_path / "account"),
            start_fetch=start_fetch,
        )


@pytest.fixture
def without_privileges() -> tuple[str, ...]:
    """What to start a program with so that file permissions hold for it, though it is root's."""
    setpriv = find_program("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root, and setpriv")
    return (setpriv, "--bounding-set=-all", "--inh-caps=-all", "--")
