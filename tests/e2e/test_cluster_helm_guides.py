"""README.md's thirty seconds on a cluster, and the upgrade of docs/install.md, with the chart of this checkout."""

import pytest

from tests.e2e.readme import commands, section, steps
from tests.e2e.warmcluster import WarmCluster
from tests.support.cluster_programs import programs_directory
from tests.unit.docs_pages import blocks
from tests.unit.test_docs_values import ADDRESS, CHART, INSTALL

pytestmark = [
    pytest.mark.cluster,
    # Helm sees nothing of the runtime.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]

NAME, NAMESPACE = "quick", "quickly"


def typed(site: WarmCluster, script: str) -> str:
    """Type commands of the guides for another release than that of the six steps; what they wrote."""
    script = script.replace("my-images", NAME).replace("namespace prefetch", f"namespace {NAMESPACE}")
    return site.type(f"PATH=$PATH:{programs_directory()}\n{script}".replace(ADDRESS, str(CHART)))


def labels(site: WarmCluster) -> set[str]:
    return {node["metadata"]["labels"].get(f"nodeprefetch.io/{NAME}", "") for node in site.kubectl.items("nodes")}


def test_a_release_warms_the_nodes_follows_its_list_and_is_removed(site: WarmCluster) -> None:
    (upgrade,) = (block for block in blocks(INSTALL, "sh") if block.startswith("helm upgrade"))
    install = commands(section("Thirty seconds: Helm")).replace("helm install", f"{steps()[3]}helm install")
    removal = commands(section("Remove it", INSTALL.read_text("utf-8")))
    try:
        typed(site, install)
        assert {"succeeded"} == labels(site)

        site.push("team/app:1.3")
        assert not site.holds("registry.example.com/team/app:1.3")
        typed(site, f"sed --in-place s/app:1.2/app:1.3/ values.yaml\n{upgrade}")
        assert site.holds("registry.example.com/team/app:1.3")
        assert {"succeeded"} == labels(site)
    finally:
        typed(site, f"helm uninstall my-images --namespace prefetch\n{removal}")
    assert {""} == labels(site)
