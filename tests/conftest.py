"""The surroundings that tests ask for: a containerd, a docker-registry, a fake registry."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from nodeprefetch.testing.registry import FakeRegistry
from tests.support.daemons import (
    Containerd,
    DockerRegistry,
    containerd2_program,
    why_no_containerd,
    why_no_containerd2,
    why_no_docker_registry,
)

hypothesis.settings.register_profile("patient", deadline=None)  # no test measures time: the machine may be busy
hypothesis.settings.register_profile("brief", deadline=None, max_examples=30)  # of `dev/test --fast`
hypothesis.settings.load_profile("patient")

CONTAINERDS = ("containerd1", "containerd2")
"""Names of the fixtures."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what nobody asked for."""
    if "long" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under `--dist loadscope`, keep together what shares daemons: the tests of a file, and all of the clusters."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - not where tests run one by one

    class ByDaemons(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "e2e" if "/e2e/" in file else file

    return ByDaemons(config, log)


def _need(reason: str | None) -> None:
    """Skip for this reason; or fail, where the services have been promised."""
    if reason is None:
        return
    if os.environ.get("NODEPREFETCH_REQUIRE_SERVICES") == "1":
        pytest.fail(f"NODEPREFETCH_REQUIRE_SERVICES is set, but: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name, which pytest's tmp_path may not."""
    with tempfile.TemporaryDirectory(prefix="npf-") as directory:  # unlike rmtree, removes what a test has locked
        yield Path(directory)


@pytest.fixture(scope="session")
def containerd(request: pytest.FixtureRequest) -> Containerd:
    """A running containerd, shared by all tests: do not stop it, and expect images of others in it.

    Debian's; with `pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)` one after the other.
    """
    return request.getfixturevalue(getattr(request, "param", CONTAINERDS[0]))


@pytest.fixture(scope="session")
def containerd1() -> Iterator[Containerd]:
    """Debian's, shared."""
    yield from _containerd("containerd1")


@pytest.fixture(scope="session")
def containerd2() -> Iterator[Containerd]:
    """The one that dev/containerd2 builds, shared."""
    yield from _containerd("containerd2")


@pytest.fixture
def own_containerd(request: pytest.FixtureRequest) -> Iterator[Containerd]:
    """A running containerd of this test alone, to be killed and restarted as it likes; parametrised as `containerd`."""
    yield from _containerd(getattr(request, "param", CONTAINERDS[0]))


@pytest.fixture(scope="session")
def docker_registry() -> Iterator[DockerRegistry]:
    """A running docker-registry without a login, shared by all tests: push under names of your own."""
    _need(why_no_docker_registry())
    with tempfile.TemporaryDirectory(prefix="npf-") as directory, DockerRegistry(Path(directory)) as running:
        yield running


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    """A running, empty fake registry of this test alone."""
    with FakeRegistry() as running:
        yield running


def _containerd(which: str) -> Iterator[Containerd]:
    binary = None
    if which == "containerd2":
        if reason := why_no_containerd2():
            pytest.skip(reason)
        binary = containerd2_program()
    _need(why_no_containerd())
    with tempfile.TemporaryDirectory(prefix="npf-") as directory, Containerd(Path(directory), binary=binary) as running:
        yield running
