"""The Helm commands of README.md and docs/install.md, typed at real API servers, with the chart of this checkout."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.guidesite import GuideSite, in_namespace
from tests.e2e.installation import ROOT
from tests.e2e.readme import commands, section
from tests.support.apiserver import ApiServer
from tests.unit.docs_pages import blocks
from tests.unit.test_docs_values import ADDRESS, CHART, INSTALL

pytestmark = pytest.mark.apiserver

README = ROOT / "README.md"
_numbers = count(1)


@pytest.fixture
def typed(api_server: ApiServer, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Types a script; returns the list of the installation."""
    site, ours = GuideSite(api_server, tmp_path), f"helmed-{next(_numbers)}"

    def type_it(script: str) -> str:
        site.type(in_namespace(ours, script).replace(ADDRESS, str(CHART)))
        images: str = site.kubectl.get("configmap", "my-images", ours)["data"]["images.txt"]
        return images

    yield type_it
    site.type(f"helm uninstall my-images --namespace {ours}")
    assert [] == site.kubectl.items("daemonsets", namespace=ours)


def test_the_readme_installs_a_release(typed: Callable[[str], str]) -> None:
    images = typed(commands(section("Thirty seconds: Helm", README.read_text("utf-8"))))

    assert ["registry.example.com/team/app:1.2", "registry.example.com/team/db:16"] == images.split()


def test_the_guide_installs_and_upgrades_a_release(typed: Callable[[str], str]) -> None:
    first = blocks(INSTALL, "sh")[0]
    show, upgrade = (text for text in blocks(INSTALL, "sh") if text.startswith("helm"))
    before = typed(first)
    after = typed(f"{show}sed -i s/app:1.2/app:1.3/ values.yaml\n{upgrade}")

    assert "registry.example.com/team/app:1.2" in before
    assert before.replace("app:1.2", "app:1.3") == after
