"""Measure how long a pod takes from its creation to running, on a cluster, with and without a prefetch on its node."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.surroundings import Surroundings
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import Fault
from tests.e2e.installation import ROOT
from tests.e2e.warmcluster import INSTANCE, NAMESPACE, WarmCluster
from tests.support.cluster import Cluster
from tests.support.cluster_programs import why_no_cluster
from tests.support.cluster_registry import NodesRegistry
from tests.support.pause_image import COMMAND, make_pause_image

_CONTAINERDS = {"2": "containerd 2.4.2", "debian": "containerd 1.6.20"}
_HOST = "pods.example.com"
_COUNT = 40
_SIZES = (500_000, 500_000)
"""Layers of each prefetched image."""

_RATE = 250_000
"""Bytes per second of each connection."""

_POD_SIZE = 500_000
_PODS = 3
"""Pods that start during a prefetch, one after the other."""


def pods(around: Surroundings) -> Iterator[Figure]:
    """Measure on each containerd that is there."""
    archive = os.environ.get("NODEPREFETCH_IMAGE_ARCHIVE") or _built_image()
    for runtime, name in _CONTAINERDS.items():
        if reason := why_no_cluster(runtime):
            around.left_out.append(f"pods beside a prefetch on {name}: {reason}")
            continue
        directory = around.directory / f"pods-{runtime}"
        directory.mkdir()
        with Cluster(directory / "cluster", containerd=runtime) as cluster, NodesRegistry(cluster, _HOST) as registry:
            site = WarmCluster(cluster, directory)
            site.push_images(Path(archive))
            site.follow_readme()
            registry.fail("layer", Fault.slow(_RATE), forever=True)
            yield from _on(site, registry, name)


def _built_image() -> str:
    return subprocess.run([ROOT / "dev" / "image"], capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def _on(site: WarmCluster, registry: NodesRegistry, name: str) -> Iterator[Figure]:
    alone = tuple(_pod(site, registry, f"alone-{number}") for number in range(_PODS))
    yield Figure(name=f"{name}: a pod alone", unit="s", values=alone)
    seconds, _, _ = _prefetch(site, registry, "without", pods=0)
    yield Figure(name="  the prefetch without pods", unit="s", values=(seconds,))
    for switch in ("yield", "no-yield"):
        value = "true" if switch == "yield" else "false"
        command = ("set", "env", f"daemonset/{INSTANCE}", f"--namespace={NAMESPACE}", "--containers=prefetch")
        site.kubectl.run(*command, f"NODEPREFETCH_YIELD={value}")
        site.wait_for_rollout()
        seconds, took, overhead = _prefetch(site, registry, switch, pods=_PODS)
        yield Figure(name=f"  a pod beside a prefetch with --{switch}", unit="s", values=took)
        yield Figure(name="    that prefetch", unit="s", values=(seconds,))
        yield Figure(name="    bytes / needed", unit="x", values=(overhead,))


def _prefetch(
    site: WarmCluster, registry: NodesRegistry, name: str, *, pods: int
) -> tuple[float, tuple[float, ...], float]:
    """Return its seconds, those of the pods beside it, and its bytes in proportion to what was needed."""
    images = {f"{name}/image{number}:1": make_image(_SIZES, seed=f"{name} {number}") for number in range(_COUNT)}
    for each, image in images.items():
        registry.add(each, image)
    registry.requests.clear()
    began = time.monotonic()
    site.start_change(*map(registry.name, images))
    site.wait_until(lambda: bool(registry.layers(1)), "the first download")
    took = tuple(_pod(site, registry, f"{name}-{number}") for number in range(pods))
    site.wait_for_rollout("10m")
    sent = sum(one.bytes_sent for one in registry.requests if one.repository.startswith(f"{name}/"))
    return time.monotonic() - began, took, sent / sum(image.size for image in images.values())


def _pod(site: WarmCluster, registry: NodesRegistry, name: str) -> float:
    registry.add(f"pod/{name}:1", make_pause_image(_POD_SIZE, seed=name))
    began = time.monotonic()
    site.run_pod(name, image=registry.name(f"pod/{name}:1"), command=COMMAND, node=1)
    site.kubectl.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=600s")
    took = time.monotonic() - began
    site.kubectl.run("delete", "pod", name)
    return took
