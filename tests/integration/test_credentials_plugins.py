"""Anyone's plugins in the process of the real program: what they do wrong costs their answer, and is said."""

import json
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.credential_sources import SLOW, entry, install, notices, refusals, used, write_secret
from tests.integration.program import RunFetch, RunHere, Start, StartFetch, seconds_to_end
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

RIGHT, WRONG = "r1ght-of-ann", "wr0ng-of-ann"
AT_ONCE = 20.0
SOURCE_PATIENCE = 3.0

GOOD = f"""
    from nodeprefetch.credentials import AuthConfig, ProvidedCredentials

    class Provider:
        def get_credentials(self, image):
            auth = AuthConfig(username="ann", password="{RIGHT}")
            return ProvidedCredentials.for_registry(image, auth, cache_duration=60)

    def make(context):
        return Provider()
"""


def provider(*lines: str, is_async: bool = False) -> str:
    """The source of a plugin whose provider does this when it is asked."""
    define = "async def" if is_async else "def"
    body = "\n".join(f"        {line}" for line in lines)
    return (
        "import os, sys, time, trio\n"
        f"class Provider:\n    {define} get_credentials(self, image):\n{body}\n"
        "def make(context):\n    return Provider()\n"
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


def beside(site: Path) -> dict[str, object]:
    """How to start the program so that it finds what is installed there."""
    return {"environment": {"PYTHONPATH": str(site)}}


@pytest.mark.containerd
def test_a_plugin_of_another_distribution_is_used(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, site: Path
) -> None:
    fake_registry.require_bearer({"ann": RIGHT})
    name = fake_registry.add("anyone/app:1", make_image(seed="anyone"))
    install(site, "anyones_vault", GOOD, plugins=["vault"])

    ended = run_fetch(containerd, name, how=beside(site), **SLOW)

    assert (0, [f"vault {fake_registry.address}"]) == (ended.code, used(ended))


RAISES = provider(f"raise RuntimeError('the password is {RIGHT}')")
LEAVES = provider(f"sys.exit('{RIGHT}')")
LEAVES_ASYNC = provider("await trio.sleep(0)", f"sys.exit('{RIGHT}')", is_async=True)
ANSWERS = provider(f"return {{'ann': '{RIGHT}'}}")
ANSWERS_NONE = provider("return None", is_async=True)
ANSWERS_ENTRIES = provider(
    "from nodeprefetch.credentials import ProvidedCredentials",
    f"return ProvidedCredentials(entries=['{RIGHT}'])",
)
GROUP = provider(
    "async def fail():",
    f"    raise ValueError('{RIGHT}')",
    "async with trio.open_nursery() as nursery:",
    "    nursery.start_soon(fail)",
    is_async=True,
)


@pytest.mark.containerd
@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(RAISES, "raised RuntimeError", id="raises"),
        pytest.param(GROUP, "raised ExceptionGroup", id="group"),
        pytest.param(LEAVES, "raised SystemExit", id="exits in a thread"),
        pytest.param(LEAVES_ASYNC, "raised SystemExit", id="exits"),
        pytest.param(ANSWERS, "returned dict, not ProvidedCredentials", id="dict"),
        pytest.param(ANSWERS_NONE, "returned NoneType, not ProvidedCredentials", id="None"),
        pytest.param(ANSWERS_ENTRIES, "returned invalid entries: must be a tuple", id="entries"),
    ],
)
def test_a_plugin_that_fails_costs_only_its_answer(
    *,
    containerd: Containerd,
    fake_registry: FakeRegistry,
    run_fetch: RunFetch,
    site: Path,
    tmp_path: Path,
    source: str,
    said: str,
) -> None:
    fake_registry.require_basic({"ann": RIGHT})
    name = fake_registry.add("broken/app:1", make_image(seed=f"broken {said}"))
    install(site, "anyones_vault", source, plugins=["vault"])
    config = write_secret(tmp_path / "c.json", {fake_registry.address: entry("ann", RIGHT)})

    ended = run_fetch(containerd, name, docker_config=config, how=beside(site), **SLOW)

    assert (0, 0) == (ended.code, refusals(ended)), ended.stderr
    assert [f"docker-config {config.name} {fake_registry.address}"] == used(ended)
    assert [True] == [text.startswith(f"credential provider vault: {said}") for text in notices(ended)]
    assert RIGHT not in ended.stderr
    assert ended.summary["elapsed"] < AT_ONCE


HANGS = pytest.mark.parametrize(
    "source",
    [provider("time.sleep(1000)"), provider("await trio.sleep(1000)", is_async=True)],
    ids=["blocks", "sleeps"],
)


@pytest.mark.containerd
@HANGS
def test_a_plugin_that_hangs_holds_up_neither_the_pull_nor_the_end(
    *, containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, site: Path, tmp_path: Path, source: str
) -> None:
    fake_registry.require_basic({"ann": RIGHT})
    name = fake_registry.add("hanging/app:1", make_image(seed=f"hanging {'await' in source}"))
    install(site, "anyones_vault", source, plugins=["vault"])
    config = write_secret(tmp_path / "c.json", {fake_registry.address: entry("ann", RIGHT)})

    ended = run_fetch(containerd, name, docker_config=config, how=beside(site), **SLOW)

    assert 0 == ended.code
    assert SOURCE_PATIENCE <= ended.summary["elapsed"] < SOURCE_PATIENCE + AT_ONCE


@pytest.mark.containerd
@HANGS
def test_a_signal_ends_a_run_whose_plugin_hangs(
    containerd: Containerd, start_fetch: StartFetch, site: Path, tmp_path: Path, source: str
) -> None:
    asked = tmp_path / "asked"
    note = f"image):\n        open({str(asked)!r}, 'w').close()\n"
    install(site, "anyones_vault", source.replace("image):\n", note), plugins=["vault"])
    fetch = start_fetch(containerd, "127.0.0.1:9/waits:1", how=beside(site))
    end = time.monotonic() + PATIENCE
    while not asked.exists():
        assert time.monotonic() < end
        time.sleep(0.01)

    seconds, ended = seconds_to_end(fetch, signal.SIGTERM)

    assert 128 + signal.SIGTERM == ended.code
    assert seconds < AT_ONCE


@pytest.mark.containerd
def test_a_plugin_that_cannot_be_loaded_is_named_and_left_out(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, site: Path
) -> None:
    fake_registry.require_basic({"ann": RIGHT})
    name = fake_registry.add("loaded/app:1", make_image(seed="loaded"))
    install(site, "a_broken_one", "import no_such_module_anywhere", plugins=["broken"])
    install(site, "anyones_vault", GOOD, plugins=["vault"])

    ended = run_fetch(containerd, name, how=beside(site), **SLOW)

    assert 0 == ended.code
    assert [True] == ["broken skipped" in text and "no_such_module_anywhere" in text for text in notices(ended)]


BROKEN = {
    "imports": ("import no_such_module_anywhere", "make"),
    "syntax": ("def make(:", "make"),
    "leaves": (f"import sys; sys.exit('{RIGHT}')", "make"),
    "raises": (f"def make(context): raise OSError('{RIGHT}')", "make"),
    "makes-nothing": ("def make(context): return object()", "make"),
    "wrong-arguments": ("def make(): return None", "make"),
    "no-such-name": ("x = 1", "make"),
    "no-value": ("x = 1", "a b:c d"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_plugins_are_listed_also_when_one_is_broken(
    run_here: RunHere, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source, value = BROKEN[kind]
    install(site, "a_broken_one", source, plugins=["broken"], value=value)
    install(site, "anyones_vault", GOOD, plugins=["vault"])
    config = write_secret(tmp_path / "c.json", {})

    monkeypatch.syspath_prepend(site)
    for module in ("a_broken_one", "anyones_vault"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))  # so that it is taken out in the end
        del sys.modules[module]

    table = run_here("plugins", f"--docker-config={config}")
    ended = run_here("plugins", "--output=json", f"--docker-config={config}")

    listed = {one["name"]: one for one in json.loads(ended.stdout)}
    assert (0, 0) == (table.code, ended.code)
    assert {
        "broken": ("a_broken_one", "1.2", "broken"),
        "vault": ("anyones_vault", "1.2", "configured"),
        "pull-secrets": ("nodeprefetch", listed["pull-secrets"]["version"], "configured"),
        "kubelet": ("nodeprefetch", listed["kubelet"]["version"], "not configured"),
    } == {name: (one["distribution"], one["version"], one["state"]) for name, one in listed.items()}
    assert listed["broken"]["why"]
    assert "broken" in table.stdout
    assert RIGHT not in table.stdout + table.stderr + ended.stdout + ended.stderr


def test_a_distribution_without_metadata_does_not_hide_the_others(start: Start, site: Path) -> None:
    install(site, "a_broken_one", GOOD, plugins=["broken", "vault"])
    (site / "a_broken_one-1.2.dist-info" / "METADATA").unlink()
    install(site, "anyones_vault", GOOD, plugins=["vault"])

    table = start("plugins", **beside(site)).end()
    ended = start("plugins", "--output=json", **beside(site)).end()

    assert (0, 0) == (table.code, ended.code), ended.stderr
    assert {"kubelet", "pull-secrets", "vault", "broken"} == {one["name"] for one in json.loads(ended.stdout)}
