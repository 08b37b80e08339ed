"""The Helm commands of README.md and docs/install.md, typed at real API servers, with the chart of this checkout."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.guidesite import GuideSite, in_namespace
from tests.e2e.installation import ROOT
from tests.e2e.readme import commands, section
from tests.support.apiserver import ApiServer
from tests.support.kubectl import KubectlError
from tests.unit.docs_pages import blocks
from tests.unit.test_docs_values import ADDRESS, CHART, INSTALL

pytestmark = pytest.mark.apiserver

README = ROOT / "README.md"
_numbers = count(1)


class Guides:
    """Types their commands for a namespace of its own."""

    def __init__(self, server: ApiServer, directory: Path) -> None:
        self._site = GuideSite(server, directory)
        self._namespace = f"helmed-{next(_numbers)}"

    def type(self, script: str) -> None:
        self._site.type(in_namespace(self._namespace, script).replace(ADDRESS, str(CHART)))

    def images(self, name: str) -> str:
        """The list of an installation."""
        images: str = self._site.kubectl.get("configmap", name, self._namespace)["data"]["images.txt"]
        return images


@pytest.fixture
def guides(api_server: ApiServer, tmp_path: Path) -> Iterator[Guides]:
    yield Guides(api_server, tmp_path)
    ours = "app.kubernetes.io/part-of=nodeprefetch"
    api_server.kubectl.run("delete", "clusterroles,clusterrolebindings", f"--selector={ours}")
    api_server.kubectl.run("delete", "roles,rolebindings", "--namespace=default", f"--selector={ours}")


def test_the_readme_installs_a_release(guides: Guides) -> None:
    guides.type(commands(section("Thirty seconds: Helm", README.read_text("utf-8"))))

    expected = ["registry.example.com/team/app:1.2", "registry.example.com/team/db:16"]
    assert expected == guides.images("my-images").split()


def test_the_readme_installs_what_a_chart_deploys(guides: Guides) -> None:
    """In one line. The chart is ours, which deploys an image as well as any."""
    guides.type(f"kubectl create namespace prefetch\ncp -r {CHART} chart")

    guides.type(commands(section("One line: discover", README.read_text("utf-8"))))

    assert guides.images("web").startswith("ghcr.io/nodeprefetch/nodeprefetch:v")


def test_the_guide_installs_upgrades_and_removes_a_release(guides: Guides) -> None:
    first = blocks(INSTALL, "sh")[0]
    show, upgrade = (text for text in blocks(INSTALL, "sh") if text.startswith("helm"))

    guides.type(first)
    before = guides.images("my-images")
    guides.type(f"{show}sed -i s/app:1.2/app:1.3/ values.yaml\n{upgrade}")
    after = guides.images("my-images")

    assert "registry.example.com/team/app:1.2" in before
    assert before.replace("app:1.2", "app:1.3") == after
    guides.type("helm uninstall my-images --namespace prefetch")
    with pytest.raises(KubectlError, match="not found"):
        guides.images("my-images")
