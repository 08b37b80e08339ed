"""The chart on a cluster: installed, changed, rolled back and removed by the real Helm, as its notes say."""

import pytest

from tests.e2e.asking import asking
from tests.e2e.releases import room_for
from tests.e2e.warmcluster import WarmCluster

pytestmark = [
    pytest.mark.cluster,
    # Helm sees nothing of the runtime.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]


def pushed(site: WarmCluster, *names: str) -> list[str]:
    """Images that are new; their names on the nodes."""
    site.push(*(f"charted/{name}:1" for name in names))
    return [f"quay.io/charted/{name}:1" for name in names]


def test_a_release_follows_its_values_there_and_back(site: WarmCluster) -> None:
    """Each time, what the notes say about waiting ends when every node has the images of then."""
    first, second = pushed(site, "first", "second")
    with room_for(site, "there") as release:
        release.wait(release.install(images=[first], collectMetrics=True))
        assert ({"succeeded"}, True, False) == (release.labels, site.holds(first), site.holds(second))
        events = f"Role/default/nodeprefetch.{release.namespace}.{release.name}.event-writer"
        assert events in release.objects

        notes = release.upgrade(images=f"# comment\n{second}\n", collectMetrics=True, noEvents=True)
        release.wait(notes)
        assert ({"succeeded"}, True) == (release.labels, site.holds(second))
        assert events not in release.objects

        release.helm("rollback", "1")
        release.wait(notes)
        assert {"succeeded"} == release.labels
        assert events in release.objects
        assert f"{first}\n" == site.kubectl.get("configmap", release.name, release.namespace)["data"]["images.txt"]

    assert "" in release.labels


def test_the_same_values_change_nothing(site: WarmCluster) -> None:
    (image,) = pushed(site, "same")
    values = {"images": [image], "collectMetrics": True, "readerRole": True, "restrictNodeAccess": True}
    with room_for(site, "same") as release:
        release.wait(release.install("--wait", **values))
        before = release.objects

        release.upgrade(**values)

        assert before == release.objects
        manifest = f"helm get manifest {release.name} --namespace {release.namespace}"
        assert "" == site.type(f"{manifest} | kubectl diff --filename -")
        assert "" == site.type(f"{manifest} | kubectl diff --server-side --force-conflicts --filename -")


def test_with_keep_a_changed_list_needs_no_rollout(site: WarmCluster) -> None:
    """Helm 4 does not overwrite what somebody else has written, unless asked to, as the chart's README says."""
    first, second = pushed(site, "kept-first", "kept-second")
    with room_for(site, "held") as release:
        release.wait(release.install(images=[first], keep=True))
        pods, generation = release.pods, release.daemonset()["metadata"]["generation"]
        edit = '{"data": {"images.txt": "quay.io/charted/edited:1"}}'
        site.type(f"kubectl patch configmap {release.name} --namespace {release.namespace} --patch '{edit}'")
        with pytest.raises(AssertionError, match='conflict with "kubectl-patch"'):
            release.upgrade(images=[second], keep=True)

        release.wait(release.upgrade("--force-conflicts", images=[second], keep=True))

        assert ({"succeeded"}, True) == (release.labels, site.holds(second))
        assert (pods, generation) == (release.pods, release.daemonset()["metadata"]["generation"])


def test_releases_of_two_namespaces_do_not_touch_each_other(site: WarmCluster) -> None:
    (image,) = pushed(site, "shared")
    values = {"images": [image], "collectMetrics": True}
    with room_for(site, "one") as one:
        one.wait(one.install(**values))
        before = one.objects
        with room_for(site, "two") as two:
            two.wait(two.install(**values))
            assert before == one.objects
            assert {"succeeded"} == two.labels

        assert before == one.objects
        assert {"succeeded"} == one.labels


def test_helm_waits_for_the_images(site: WarmCluster) -> None:
    """If asked to. What does not come fails the release, and is removed again if asked to."""
    late, missing = "quay.io/charted/late:1", "quay.io/charted/missing:1"
    with room_for(site, "awaited") as release:
        with pytest.raises(AssertionError, match="not ready"):
            release.install("--wait", "--timeout=20s", "--rollback-on-failure", images=[missing])
        site.wait_until(lambda: not release.objects, "nothing is left of a failed installation")

        pushed(site, "late")
        release.install("--wait", images=[late])
        assert ({"succeeded"}, True) == (release.labels, site.holds(late))

        with pytest.raises(AssertionError, match="not ready"):
            release.upgrade("--wait", "--timeout=20s", "--rollback-on-failure", images=[missing])
        assert f"{late}\n" == site.kubectl.get("configmap", release.name, release.namespace)["data"]["images.txt"]


def test_a_namespace_that_forbids_the_socket_is_told_apart(site: WarmCluster) -> None:
    """Helm prints the API server's warning; the command of the notes says where the reason is."""
    with room_for(site, "forbidden", level="baseline") as release:
        notes = release.install(images=["quay.io/charted/first:1"])
        assert "would violate PodSecurity" in notes

        with asking(site, release.waiting(notes)) as asked:
            asked.wait_for(f"but 0 exist (kubectl describe daemonset {release.name} -n {release.namespace})")
        assert "violates PodSecurity" in site.type(f"kubectl describe daemonset {release.name} -n {release.namespace}")
