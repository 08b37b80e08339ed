"""READY of an installation with --keep, on a real cluster: nodes that have every image now."""

import pytest

from tests.e2e.keptnodes import kept_nodes
from tests.e2e.warmcluster import IMAGES, WarmCluster

pytestmark = [
    pytest.mark.cluster,
    # tests/integration has both versions of containerd.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]


def test_a_node_that_lost_an_image_is_not_ready_until_it_is_back(site: WarmCluster) -> None:
    image = "registry.example.com/team/lost:1"
    site.push("team/lost:1")
    with kept_nodes(site, "kept", IMAGES[0], image) as kept:
        kept.wait_for_rollout()
        assert str(len(site.nodes)) == kept.column
        assert {"succeeded"} == set(kept.labels.values())

        with site.stalled_registry():
            site.remove_image(image, node=2)
            kept.wait_for_column(len(site.nodes) - 1)
            assert {"node-2"} == kept.not_ready
            site.wait_until(lambda: kept.labels["node-2"] == "failed", "the label failed")
            assert {"node-2"} == {node for node, label in kept.labels.items() if label == "failed"}

        kept.wait_for_column(len(site.nodes))
        assert image in site.images(2)
        assert "succeeded" == kept.labels["node-2"]
        assert 0 == kept.restarts


def test_a_rollout_is_complete_when_every_node_has_every_image(site: WarmCluster) -> None:
    """Also if the list is corrected while a node cannot get an image: no container has to start again for it."""
    missing = "registry.example.com/team/none:1"
    with kept_nodes(site, "rolled", IMAGES[0], missing) as kept:
        with pytest.raises(AssertionError, match="timed out waiting for the condition"):
            kept.wait_for_rollout("15s")
        assert "0" == kept.column
        pods = {pod["metadata"]["uid"] for pod in kept.pods}

        kept.edit_list(IMAGES[0])
        kept.wait_for_rollout()

        assert {"succeeded"} == set(kept.labels.values())
        assert pods == {pod["metadata"]["uid"] for pod in kept.pods}
        assert 0 == kept.restarts


def test_an_edited_list_makes_nodes_not_ready_until_its_images_are_there(site: WarmCluster) -> None:
    image = "registry.example.com/team/later:1"
    with kept_nodes(site, "edited", IMAGES[0]) as kept:
        kept.wait_for_rollout()

        kept.edit_list(IMAGES[0], image)
        kept.wait_for_column(0)
        site.push("team/later:1")
        kept.wait_for_column(len(site.nodes))
        assert site.holds(image)
        kept.edit_list(IMAGES[0], "not an image")
        kept.wait_for_column(0)
        assert {"succeeded"} == set(kept.labels.values())
        kept.edit_list(IMAGES[0])

        kept.wait_for_column(len(site.nodes))
        assert 0 == kept.restarts


def test_installations_in_the_network_of_the_nodes_are_ready_each_by_itself(site: WarmCluster) -> None:
    missing = "registry.example.com/team/nowhere:1"
    with (
        kept_nodes(site, "host-a", IMAGES[0], flags="--host-network") as first,
        kept_nodes(site, "host-b", missing, flags="--host-network") as second,
    ):
        first.wait_for_rollout()
        site.wait_until(lambda: set(second.labels.values()) == {"failed"}, "the end of runs")
        assert (str(len(site.nodes)), "0") == (first.column, second.column)

        first.edit_list(missing)
        second.edit_list(IMAGES[0])

        first.wait_for_column(0)
        second.wait_for_column(len(site.nodes))
