"""The API servers and clusters that end-to-end tests run against."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.e2e.installation import ROOT, Installation, install
from tests.e2e.warmcluster import WarmCluster
from tests.integration.program import Ended, Program, fetch_arguments
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster
from tests.support.cluster_programs import OLDEST, why_no_api_server, why_no_cluster
from tests.support.cri_server import FROM_REGISTRY, HANG, FakeCriServer, Refusal


def need(reason: str | None) -> None:
    """Skip for this reason; or fail, where the programs have been promised."""
    if reason is None:
        return
    if os.environ.get("NODEPREFETCH_REQUIRE_CLUSTER") == "1":
        pytest.fail(f"NODEPREFETCH_REQUIRE_CLUSTER is set, but: {reason}", pytrace=False)
    pytest.skip(reason)


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where data lie: what databases write there need not wait for a disk, and is gone at once."""


@pytest.fixture(scope="session", params=["", OLDEST], ids=["newest", OLDEST])
def api_server(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    """A running API server, shared by all tests: use namespaces and nodes of your own."""
    need(why_no_api_server(request.param))
    with (
        tempfile.TemporaryDirectory(prefix="npf-", dir=MEMORY) as directory,
        ApiServer(Path(directory), version=request.param) as running,
    ):
        yield running


_numbers = count(1)


@pytest.fixture
def installed(api_server: ApiServer) -> Iterator[Callable[..., Installation]]:
    """Installs what the generator prints for these flags, in a namespace of its own."""
    made: list[Installation] = []

    def install_it(*flags: str, name: str = "web") -> Installation:
        made.append(install(api_server, name, f"n{next(_numbers)}", *flags))
        return made[-1]

    yield install_it
    for each in made:
        each.remove()


HANGING = "registry.test/hangs:1"
"""Its pull does not end."""

MISSING = "registry.test/missing:1"
"""Its registry does not know it."""

_OUTCOMES = {HANGING: [HANG], MISSING: [Refusal("NOT_FOUND", f"failed to resolve reference: {MISSING}: not found")]}


@pytest.fixture
def runtime(short_path: Path) -> Iterator[FakeCriServer]:
    """Pulls from a registry for real, but for two images."""
    with FakeCriServer(
        short_path / "cri.sock", _OUTCOMES, otherwise=FROM_REGISTRY, name="cri-o", version="1.30.0"
    ) as running:
        yield running


@pytest.fixture
def image(fake_registry: FakeRegistry) -> str:
    return fake_registry.add("team/app:1", make_image())


@pytest.fixture
def start(runtime: FakeCriServer, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the real program as the pod of an installation does: `start(installation, image, node=…, **options)`."""
    running: list[Program] = []

    def start_it(
        installation: Installation, *images: str, node: str = "", token: str = "", **options: object
    ) -> Program:
        login = installation.server.kubeconfig_with(installation.token())
        if token:
            (tmp_path / "token").write_text(token)
            options["metrics_token_file"] = tmp_path / "token"
        options = {"cri_socket": runtime.socket, "kubeconfig": login, **options}
        environment = {"NODE_NAME": node or installation.node, "INSTANCE_NAME": installation.name}
        running.append(Program(fetch_arguments(None, images, options), environment=environment))
        return running[-1]

    yield start_it
    for each in running:
        each.kill()


@pytest.fixture
def fetch(start: Callable[..., Program]) -> Callable[..., Ended]:
    """The same, to its end."""
    return lambda *arguments, **options: start(*arguments, **options).end()


@pytest.fixture(scope="session")
def our_image() -> Path:
    """The OCI archive of our own image, built when it is not there."""
    if given := os.environ.get("NODEPREFETCH_IMAGE_ARCHIVE"):
        return Path(given)
    done = subprocess.run([ROOT / "dev" / "image"], capture_output=True, text=True, check=False)
    need(f"dev/image: {done.stderr.strip()[-2000:] or done.returncode}" if done.returncode else None)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session", params=["2", "debian"], ids=["containerd-2", "containerd-debian"])
def site(request: pytest.FixtureRequest, our_image: Path) -> Iterator[WarmCluster]:
    """A cluster of three nodes with the README's steps done, shared by all tests: each sets the list it wants."""
    need(why_no_cluster(request.param))
    with (
        tempfile.TemporaryDirectory(prefix="npf-", dir=MEMORY) as directory,
        tempfile.TemporaryDirectory(prefix="npf-") as typed,
        Cluster(Path(directory), nodes=3, containerd=request.param) as cluster,
    ):
        made = WarmCluster(cluster, Path(typed))
        made.push_images(our_image)
        made.follow_readme()
        yield made
        made.remove()
