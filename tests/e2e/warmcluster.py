"""A cluster on which the README's steps are done: what a user types, and what came of it on every node."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

from nodeprefetch import __version__
from nodeprefetch.testing.images import Image, make_image
from tests.e2e.programs import install_programs
from tests.e2e.readme import commands, section, steps
from tests.support.cluster import OPEN_REGISTRY, Cluster
from tests.support.cluster_programs import programs_directory
from tests.support.kubectl import KubectlError
from tests.support.patience import PATIENCE
from tests.support.publish import write_oci_layout

INSTANCE, NAMESPACE = "my-images", "prefetch"
LABEL = f"nodeprefetch.io/{INSTANCE}"
PODS = f"app.kubernetes.io/instance={INSTANCE},app.kubernetes.io/component=fetch"
AGGREGATOR = f"app.kubernetes.io/instance={INSTANCE},app.kubernetes.io/component=aggregator"
PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/{INSTANCE}-metrics:http/proxy"
"""Path to the aggregator through the API server."""

LOGIN_DAEMON = "registry-login"
IMAGES = ("registry.example.com/team/app:1.2", "registry.example.com/team/db:16")
"""Of the list in the README."""


class WarmCluster:
    """The cluster, and a directory in which the README's commands are typed."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self.directory = directory
        """Where commands are typed."""

        self.transcript: dict[int, str] = {}
        """Number of a README's step to what it wrote."""

        self.first_logs: list[str] = []
        """Of the fetch pods, after these steps."""

        self.first_attempts: list[dict[str, Any]] = []
        """Of the aggregator, after these steps."""

        self.programs = directory / "bin"
        """A directory for PATH."""

        install_programs(self.programs)

    def type(self, script: str) -> str:
        """Run a shell script in the directory, as on the first node; what it wrote, errors between."""
        shell = self.start(script)
        written, _ = shell.communicate()
        if shell.returncode:
            raise AssertionError(f"{script}\nended with {shell.returncode}:\n{written}")
        return written

    def start(self, script: str) -> subprocess.Popen[str]:
        """The same without waiting for its end. What it writes comes through a pipe."""
        return subprocess.Popen(
            self.cluster.command("bash", "-euo", "pipefail", "-c", script),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self.directory),
                **self.cluster.environment,
            },
        )

    def follow_readme(self) -> None:
        """Type the six steps."""
        self.transcript = {number: self.type(script) for number, script in steps().items()}
        self.first_logs = [self.log(pod["metadata"]["name"]) for pod in self.pods()]
        self.wait_for_aggregator()
        self.first_attempts = json.loads(self.kubectl.run("get", "--raw", f"{PROXY}/metrics"))

    def remove(self) -> None:
        """Type the README's section, and see that nothing is left."""
        self.type(commands(section("Remove it")))
        left = self.kubectl.run("get", "clusterroles,clusterrolebindings,namespaces", "--output=name")
        prefix = f"nodeprefetch.{NAMESPACE}."
        names = [name.rpartition("/")[2] for name in left.split()]
        assert [] == [name for name in names if name == NAMESPACE or name.startswith(prefix)]
        for node in self.kubectl.items("nodes"):
            marks = {**node["metadata"]["labels"], **node["metadata"].get("annotations", {})}
            assert not [mark for mark in marks if mark.startswith("nodeprefetch.io/")], marks

    @contextmanager
    def room_for(self, name: str, namespace: str, image: str) -> Iterator[None]:
        """Inside, there is a namespace with list and login for another installation; in the end nothing of it is left.

        What the installation has beside its namespace is removed by whoever applies it.
        """
        login = steps()[3].replace("--namespace prefetch", f"--namespace {namespace}")
        self.type(
            f"kubectl create namespace {namespace}\n"
            f"kubectl create configmap {name} --namespace {namespace} --from-literal=images.txt={image}\n{login}"
        )
        try:
            yield
        finally:
            self.type(
                f"kubectl delete namespace {namespace}\n"
                f"kubectl label nodes --all nodeprefetch.io/{name}-\n"
                f"kubectl annotate nodes --all nodeprefetch.io/{name}.summary-\n"
            )

    def change_list(self, *images: str, limit: str = "5m") -> None:
        """As the README's section says, with less patience.

        Raises:
            AssertionError: the rollout did not come to its end within the limit.
        """
        self.start_change(*images)
        self.wait_for_rollout(limit)

    def wait_for_rollout(self, limit: str = "5m") -> None:
        """Until every node has every image."""
        self.type(f"kubectl rollout status daemonset/{INSTANCE} --namespace {NAMESPACE} --timeout={limit}")

    def wait_for_aggregator(self) -> None:
        """Until its pod is ready."""
        self.type(f"kubectl rollout status deployment/{INSTANCE}-metrics --namespace {NAMESPACE} --timeout=5m")

    def start_change(self, *images: str) -> None:
        """The same without waiting."""
        self.edit_list(*images)
        _, restart, _ = commands(section("Change the list")).splitlines()
        self.type(restart)

    def edit_list(self, *images: str) -> None:
        """Edit the list alone: pods that run do not follow."""
        (self.directory / "images.txt").write_text("\n".join(images) + "\n")
        edit, _, wait = commands(section("Change the list")).splitlines()
        assert "nodeprefetch wait" in wait
        self.type(edit)

    def push_images(self, archive: Path) -> None:
        """Push all that the steps name.

        Args:
            archive: our own image, an OCI archive.
        """
        self.push_archive(archive, f"nodeprefetch/nodeprefetch:v{__version__}")
        # Of the list's images, one that runs. It is not ours: the kubelet remembers the logins for what it pulled.
        self.push_docker_archive(programs_directory() / "pause.tar", "team/app:1.2")
        self.push("team/db:16")

    def push_archive(self, archive: Path, name: str) -> None:
        """Push an OCI archive into the registries, under a name without the registry."""
        self._copy(f"oci-archive:{archive}", name)

    def push_docker_archive(self, archive: Path, name: str) -> None:
        """The same of what `docker save` makes."""
        self._copy(f"docker-archive:{archive}", name)

    def push(self, *names: str) -> None:
        """Push small images, made up."""
        for number, name in enumerate(names):
            self.push_image(make_image([100_000 + number], seed=name), name)

    def push_image(self, image: Image, name: str) -> None:
        """Push an image that was made up."""
        layout = self.directory / f"layout-{name.replace('/', '-').replace(':', '-')}"
        write_oci_layout(image, layout, tag="x")
        self._copy(f"oci:{layout}:x", name)

    def _copy(self, source: str, name: str) -> None:
        target = f"docker://{OPEN_REGISTRY}/{name}"
        self.cluster.run("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", source, target)

    @property
    def nodes(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.kubectl.items("nodes")]

    @property
    def labels(self) -> set[str]:
        """Values of our label over all nodes; empty text for none."""
        return {node["metadata"]["labels"].get(LABEL, "") for node in self.kubectl.items("nodes")}

    def holds(self, *images: str) -> bool:
        """Whether every node's runtime has these images."""
        return all(set(images) <= self.images(node) for node in range(1, self.cluster.nodes + 1))

    def has_ended_everywhere(self, image: str) -> bool:
        """Whether a run has pulled the image on every node, from the files that kubelets keep of logs."""
        said = f'msg=\\"image succeeded\\" image={image}\\|msg="image succeeded" image={image}'
        files = f"/var/log/pods/{NAMESPACE}_{INSTANCE}-*/prefetch/*.log"
        command = ("sh", "-c", f"grep -c '{said}' {files} | grep -vc ':0$' || true")
        return all(int(self.cluster.run(*command, node=node)) for node in range(1, self.cluster.nodes + 1))

    def images(self, node: int) -> set[str]:
        """What the runtime of that node has."""
        return set(self.cluster.run("ctr", "--namespace=k8s.io", "images", "ls", "--quiet", node=node).split())

    def remove_image(self, name: str, *, node: int) -> None:
        """Remove an image as `ctr images rm` does, by the three names that CRI gives it."""
        listed = self.cluster.run("ctr", "--namespace=k8s.io", "images", "ls", node=node).splitlines()
        digests = {(words := line.split())[0]: words[2] for line in listed[1:]}
        names = [each for each, digest in digests.items() if digest == digests[name]]
        self.cluster.run("ctr", "--namespace=k8s.io", "images", "rm", "--sync", *names, node=node)

    def log(self, pod: str) -> str:
        """Of the container that fetches, its latest run."""
        return self.kubectl.run("logs", pod, f"--namespace={NAMESPACE}", "--container=prefetch")

    def pods(self) -> list[dict[str, Any]]:
        """Those that fetch, without those that are going."""
        found = self.kubectl.items("pods", selector=PODS, namespace=NAMESPACE)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def run_pod(self, name: str, *, image: str, command: str, node: int) -> None:
        """Create a pod on that node, in the namespace `default`. Its image is pulled by the kubelet."""
        container = {"name": "app", "image": image, "command": [command], "imagePullPolicy": "IfNotPresent"}
        spec = {
            "nodeSelector": {"kubernetes.io/hostname": f"node-{node}"},
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        }
        metadata = {"name": name, "namespace": "default"}
        self.kubectl.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def states(self, image: str) -> list[str]:
        """What the aggregator says of an image, a word a node."""
        status = json.loads(self.kubectl.run("get", "--raw", f"{PROXY}/v1/status"))
        return [
            each["state"]
            for instance in status["instances"]
            for node in instance["nodes"]
            for each in node["images"]
            if each["image"] == image
        ]

    @contextmanager
    def stalled_registry(self) -> Iterator[None]:
        """Inside, the registry that wants a login takes connections and answers nothing."""
        self.cluster.signal(LOGIN_DAEMON, SIGSTOP)
        try:
            yield
        finally:
            self.release_registry()

    def release_registry(self) -> None:
        """Let it answer again."""
        self.cluster.signal(LOGIN_DAEMON, SIGCONT)

    def wait_for_pulls(self, image: str) -> list[dict[str, Any]]:
        """Block until a pod on every node says that it pulls; the pods."""
        self.wait_until(lambda: self._pulling(image) == len(self.nodes), f"pulls of {image} on all nodes")
        return self.pods()

    def _pulling(self, image: str) -> int:
        running = [pod for pod in self.pods() if _is_running(pod)]
        return sum(f"msg=pulling image={image}" in self.log(pod["metadata"]["name"]) for pod in running)

    def wait_until(self, is_so: Callable[[], bool], what: str, *, patience: float = PATIENCE) -> None:
        """Block until it is so."""
        until = time.monotonic() + patience
        while not is_so():
            if time.monotonic() > until:
                try:
                    seen = self.kubectl.run("get", "pods", "--all-namespaces", "--request-timeout=5s")
                except KubectlError as error:  # the API server may be what is away
                    seen = str(error)
                raise AssertionError(f"did not come: {what}\n{seen}")
            time.sleep(0.3)  # no event tells of it


def _is_running(pod: dict[str, Any]) -> bool:
    statuses: Sequence[dict[str, Any]] = pod["status"].get("initContainerStatuses") or []
    return any("running" in status["state"] for status in statuses)


def restarts(pods: Sequence[dict[str, Any]]) -> int:
    """Of their init containers."""
    return sum(status["restartCount"] for pod in pods for status in pod["status"].get("initContainerStatuses", []))
