"""`wait` on a cluster: each of its ends, and lists, nodes, aggregators and rights that change meanwhile."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime

import pytest

from nodeprefetch.testing.images import make_image
from tests.e2e.asking import CI_PAGE, READER, WAIT, Answered, ask, asking, make_reader, no_aggregator
from tests.e2e.readme import section
from tests.e2e.warmcluster import IMAGES, LABEL, NAMESPACE, WarmCluster
from tests.support.cluster_registry import NodesRegistry

pytestmark = [
    pytest.mark.cluster,
    # What the commands look at is not the runtime's.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]

LOG = logging.getLogger(__name__)
"""For times, of which no test is sure: `--log-cli-level=info` shows them."""

MISSING = "registry.example.com/team/nowhere:1"
"""Its registry does not know it."""


AGGREGATOR_SEEN, LABELS_SEEN = "aggregator (through the API server)", "node labels and pods"
"""What it looks at."""


@pytest.fixture(autouse=True)
def warm_again(site: WarmCluster) -> Iterator[None]:
    """Whatever a test did to the list, in the end every node has what the README lists."""
    yield
    site.change_list(*IMAGES)


def pushed(site: WarmCluster, name: str) -> str:
    """An image that is new; its name on the nodes."""
    site.push(f"team/{name}:1")
    return f"registry.example.com/team/{name}:1"


def seconds_since_the_last_failure(site: WarmCluster, ended: Answered) -> float:
    """From the end of the last node's run, which its annotation tells in whole seconds, to the end of the command."""
    summaries = [node["metadata"]["annotations"][f"{LABEL}.summary"] for node in site.kubectl.items("nodes")]
    return ended.at - max(datetime.fromisoformat(json.loads(each)["time"]).timestamp() for each in summaries)


def test_it_ends_when_every_node_has_every_image(site: WarmCluster) -> None:
    image = pushed(site, "awaited")
    with site.stalled_registry():
        site.start_change(*IMAGES, image)
        with asking(site, WAIT) as asked:
            site.wait_for_pulls(image)
            assert not asked.has_ended, asked.text
            site.release_registry()
            ended = asked.end()

    assert (0, True) == (ended.code, site.holds(image)), ended.text
    assert {"succeeded"} == site.labels


def test_an_image_that_is_nowhere_ends_it_with_the_cause(site: WarmCluster) -> None:
    """As soon as one node has failed where all are wanted; with the last one, where one is."""
    site.change_list(*IMAGES)
    site.start_change(*IMAGES, MISSING)
    with asking(site, f"{WAIT} --nodes 1") as any_node, asking(site, WAIT) as all_nodes:
        ended = all_nodes.end()
        last = any_node.end()

    LOG.info("exit 1 came %.1f s after the last node's run", seconds_since_the_last_failure(site, last))
    for each in (ended, last):
        assert 1 == each.code, each.text
        assert MISSING in each.text
        assert "not-found" in each.text or "not found" in each.text
    assert {"failed"} == site.labels


def test_the_timeout_ends_it_with_what_is_missing(site: WarmCluster) -> None:
    image = pushed(site, "stalled")
    with site.stalled_registry():
        site.start_change(*IMAGES, image)
        site.wait_for_pulls(image)

        ended = ask(site, f"{WAIT} --timeout 15s")

    assert 4 == ended.code, ended.text
    assert image in ended.text
    site.wait_for_rollout()


def test_enough_is_what_was_asked_for(site: WarmCluster) -> None:
    """All nodes but one have an image that its registry does not know any more."""
    count = len(site.nodes)
    with NodesRegistry(site.cluster, "partial.example.com") as registry:
        registry.add("team/partial:1", make_image([100_000], seed="partial"))
        image = registry.name("team/partial:1")
        site.change_list(*IMAGES, image)
        registry.remove("team/partial:1")
        site.remove_image(image, node=3)
        site.start_change(*IMAGES, image)

        enough = [ask(site, f"{WAIT} {flags}") for flags in ("--nodes 2", "--nodes 50%", f"--image {IMAGES[0]}")]
        impossible = [ask(site, f"{WAIT} {flags}") for flags in ("--nodes 100%", f"--nodes {count}")]
        not_yet = ask(site, f"{WAIT} --nodes {count + 1} --timeout 15s")

    assert [0, 0, 0] == [ended.code for ended in enough], [ended.text for ended in enough]
    assert [1, 1] == [ended.code for ended in impossible], [ended.text for ended in impossible]
    assert all("node-3" in ended.text and image in ended.text for ended in impossible)
    assert 4 == not_yet.code, not_yet.text


def test_what_nodes_reported_for_an_earlier_list_does_not_count(site: WarmCluster) -> None:
    """The list is edited before the pods are replaced, and again while `wait` waits."""
    first, second = pushed(site, "edited-first"), pushed(site, "edited-second")
    site.change_list(*IMAGES)
    with site.stalled_registry():
        site.edit_list(*IMAGES, first)
        before_the_restart = ask(site, f"{WAIT} --timeout 15s")
        labels = site.labels
        with asking(site, WAIT) as asked:
            site.start_change(*IMAGES, first)
            site.wait_for_pulls(first)
            site.start_change(*IMAGES, first, second)
            site.wait_for_pulls(second)
            assert not asked.has_ended, asked.text
            site.release_registry()
            ended = asked.end()

    assert (4, {"succeeded"}) == (before_the_restart.code, labels), before_the_restart.text
    assert (0, True) == (ended.code, site.holds(first, second)), ended.text


@pytest.fixture(scope="module")
def reader(site: WarmCluster) -> str:
    """The kubeconfig of somebody who has the reader's rights and no others."""
    make_reader(site)
    return READER


def test_the_readers_rights_are_enough(site: WarmCluster, reader: str) -> None:
    kubectl = f"KUBECONFIG={reader} kubectl"
    image = pushed(site, "read")
    site.start_change(*IMAGES, image)

    ended = ask(site, f"env KUBECONFIG={reader} {WAIT}")
    secrets = ask(site, f"env {kubectl} auth can-i get secrets --namespace {NAMESPACE}")

    assert 0 == ended.code, ended.text
    assert AGGREGATOR_SEEN in ended.text
    assert LABELS_SEEN not in ended.text
    assert "no\n" == secrets.text


def test_without_rights_it_says_which_command_shows_it(site: WarmCluster) -> None:
    """And that command says no."""
    site.type(
        f"token=$(kubectl create token default --namespace {NAMESPACE})\n"
        f"sed s/reader/nobody/ {READER} > nobody.kubeconfig\n"
        'kubectl --kubeconfig nobody.kubeconfig config set-credentials nobody --token "$token"'
    )

    ended = ask(site, f"env KUBECONFIG=nobody.kubeconfig {WAIT}")

    assert 3 == ended.code, ended.text
    (line,) = {line[line.index("kubectl auth can-i") :] for line in ended.text.splitlines() if "auth can-i" in line}
    shown = ask(site, f"env KUBECONFIG=nobody.kubeconfig {line.strip('`')}")
    assert "no\n" == shown.text, line


@pytest.mark.parametrize(("images", "condition"), [((), "Complete"), ((MISSING,), "Failed")])
def test_a_job_waits_with_the_account_of_its_pod(
    site: WarmCluster, reader: str, images: tuple[str, ...], condition: str
) -> None:
    """The one of docs/ci.md, applied as it stands there."""
    (job,) = [text.partition("```")[0] for text in section("A Job in the cluster", CI_PAGE).split("```yaml\n")[1:]]
    site.start_change(*IMAGES, *images)

    site.kubectl.run("create", "--filename=-", stdin=job)
    site.kubectl.run("wait", "job/my-images-warm", f"--for=condition={condition}", f"-n{NAMESPACE}", "--timeout=5m")
    log = site.kubectl.run("logs", "job/my-images-warm", f"--namespace={NAMESPACE}")
    pods = site.kubectl.items("pods", selector="job-name=my-images-warm", namespace=NAMESPACE)
    site.kubectl.run("delete", "job", "my-images-warm", f"--namespace={NAMESPACE}")

    (status,) = [status for pod in pods for status in pod["status"]["containerStatuses"]]
    assert int(condition == "Failed") == status["state"]["terminated"]["exitCode"]
    assert all(image in log for image in images)


def test_it_goes_on_without_the_aggregator(site: WarmCluster) -> None:
    """It says so, and what it looks at instead: which is enough to see the end, and an image that is nowhere."""
    image = pushed(site, "unseen")
    with site.stalled_registry():
        site.start_change(*IMAGES, image)
        with asking(site, WAIT) as asked:
            site.wait_for_pulls(image)
            asked.wait_for(AGGREGATOR_SEEN)
            with no_aggregator(site):
                asked.wait_for(LABELS_SEEN)
                assert not asked.has_ended, asked.text
                site.release_registry()
                ended = asked.end()
                absent = ask(site, WAIT)
                site.start_change(*IMAGES, MISSING)
                missing = ask(site, WAIT)

    assert (0, True) == (ended.code, site.holds(image)), ended.text
    assert 0 == absent.code, absent.text
    assert (1, True) == (missing.code, MISSING in missing.text), missing.text


def test_a_node_leaves_and_comes_back_while_it_waits(site: WarmCluster) -> None:
    """One that is gone does not hold it up; one that has joined does."""
    count = len(site.nodes)
    first, second = pushed(site, "left"), pushed(site, "joined")
    with site.stalled_registry():
        site.start_change(*IMAGES, first)
        site.wait_for_pulls(first)
        site.cluster.stop_node(3)
    with ExitStack() as away:
        away.callback(site.cluster.start_node, 3)
        with asking(site, WAIT) as leaving:
            site.wait_until(lambda: all(first in site.images(node) for node in (1, 2)), "the image on two nodes")
            assert not leaving.has_ended, leaving.text
            site.kubectl.run("delete", "node", "node-3")
            left = leaving.end()
        with site.stalled_registry():
            site.start_change(*IMAGES, first, second)
            with asking(site, WAIT) as joining:
                away.close()
                site.wait_until(lambda: len(site.nodes) == count, "the node")
                site.wait_for_pulls(second)
                assert not joining.has_ended, joining.text
                site.release_registry()
                joined = joining.end()

    assert 0 == left.code, left.text
    assert (0, True) == (joined.code, site.holds(first, second)), joined.text
