"""Whether the node runs the pods for which it is to pull (`--for-pods`), and what is said where it does not."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import NodeLabelled
from nodeprefetch.kube import KubeError, Node, NotInClusterError
from nodeprefetch.kube.objects import PodName
from nodeprefetch.report.label_key import PULLING, label_key, read_summary, summary_key
from nodeprefetch.report.node_api import NodeApi, NodeCalls
from nodeprefetch.report.run_result import SUCCEEDED
from nodeprefetch.values.pod_selector import PodSelector

PATIENCE = 60.0
"""Seconds in which the API server must answer. An upgrade waits meanwhile, so it is short beside a pull."""

TERMINATION_LOG = Path("/dev/termination-log")
"""What the kubelet copies into the container's status when the container ends; there in each container.
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

NOT_NEEDED = "not-needed"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The termination message of a run that was not needed, as JSON. Fields may be added; these stay."""

    outcome: str
    why: str = ""
    """One line."""


def read_outcome(message: str) -> Outcome | None:
    """Read the termination message of a container. None: its run was needed, or it says something else."""
    try:
        said = msgspec.json.decode(message, type=Outcome)
    except (ValueError, RecursionError):
        return None
    return said if said.outcome == NOT_NEEDED else None


def write_outcome(why: str, *, file: Path = TERMINATION_LOG) -> None:
    """Say in the container's status that the run was not needed. Outside of a container there is no such file."""
    with suppress(OSError):
        if file.exists():
            file.write_bytes(msgspec.json.encode(Outcome(outcome=NOT_NEEDED, why=why)))


class Workload:
    """The pods for which the node pulls.

    Args:
        api: calls the Kubernetes API.
        pods: which ones.
        find_namespace: returns the namespace of this pod, for a selector without one; raises `KubeError`.
        inform: takes messages that require no action.
        warn: takes those that do.
    """

    def __init__(
        self,
        api: NodeApi,
        pods: PodSelector,
        *,
        find_namespace: Callable[[], str],
        inform: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._api = api
        self._pods = pods
        self._find_namespace = find_namespace
        self._inform = inform
        self._warn = warn
        self.why = ""
        """Why the node needs no images; empty: it does, or nobody has asked."""

    async def is_here(self) -> bool:
        """Whether one of the pods is on this node. True as well if nobody answers: to pull is never wrong."""
        caller = self._api.caller("find the pods of --for-pods")
        found: list[PodName] | None = None
        with trio.move_on_after(PATIENCE), suppress(KubeError):  # that one is explained
            try:
                namespace = self._pods.namespace or self._find_namespace()
            except NotInClusterError as error:
                self._warn(f"cannot find the pods of --for-pods: {error} (write --for-pods NAMESPACE/SELECTOR)")
                raise

            async def ask(calls: NodeCalls) -> list[PodName]:
                return await calls.pods_on_node(namespace, self._pods.labels, self._api.node)

            found = await caller.call("list", ask, resource="pods")
        if found is None:
            problem = f" ({caller.problem})" if caller.problem else ""
            self._warn(f"unknown whether a pod of --for-pods runs on this node{problem}: pulling")
            return True
        # A pod that pulls runs on each node, so it is never the workload, whatever the selector says.
        return self._decide(namespace, [each for each in found if not PULLING.items() <= each.labels.items()])

    def _decide(self, namespace: str, pods: list[PodName]) -> bool:
        which = f"that matches {self._pods.labels} in namespace {namespace}"
        if not pods:
            self.why = f"no pod {which} runs there"
            self._inform(f"nothing to pull: no pod {which} runs on this node")
            return False
        more = f" and {len(pods) - 1} more" if len(pods) > 1 else ""
        self._inform(f"pulling for pod {pods[0].name}{more}, {which}")
        return True


async def remove_outdated_label(api: NodeApi, instance: str, *, prefix: str, list_digest: str, emit: Reader) -> None:
    """Remove the label and annotation of an earlier run, unless they say that the images of this list are there.

    Args:
        api: calls the Kubernetes API.
        instance: name of the installation.
        prefix: of the keys.
        list_digest: of the list of now.
        emit: takes the `NodeLabelled` event.
    """
    caller = api.caller("remove the node's outdated label")
    key, other = label_key(prefix, instance), summary_key(prefix, instance)

    async def work() -> bool:
        node = await caller.call("get", lambda calls: calls.get_node(api.node))
        if key not in node.labels or _is_true(node.labels[key], node.annotations.get(other, ""), list_digest):
            return False

        async def remove(calls: NodeCalls) -> Node:
            return await calls.patch_node(api.node, labels={key: None}, annotations={other: None})

        await caller.call("patch", remove)
        return True

    try:
        if await work():
            emit(NodeLabelled(key=key))
    except KubeError as error:
        emit(NodeLabelled(key=key, error=str(error)))


def _is_true(label: str, summary: str, list_digest: str) -> bool:
    said = read_summary(summary)
    return said is not None and label == said.result == SUCCEEDED and said.list_digest == list_digest
