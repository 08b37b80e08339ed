"""The API servers and clusters that end-to-end tests run against."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.installation import ROOT, Installation, install
from tests.e2e.warmcluster import WarmCluster
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster
from tests.support.cluster_programs import OLDEST, why_no_api_server, why_no_cluster


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
        made.transcript = made.follow_readme()
        yield made
        made.remove()
