"""What the pods of an installation say about its nodes. Pure functions."""

from collections.abc import Iterable, Sequence

import msgspec

from nodeprefetch.cluster.pod_trouble import BETWEEN, PodTrouble, pod_troubles
from nodeprefetch.kube.read_objects import ContainerStatus, ControllerRevision, Pod
from nodeprefetch.report.run_result import bounded
from nodeprefetch.report.workload import read_outcome
from nodeprefetch.text.scrub import scrub

IMAGES_MISSING = 1
"""Exit code of the program."""

TEXT_LIMIT = 300
"""Characters of an error, or of what a pod says."""

GENERATION_LABEL, HASH_LABEL = "pod-template-generation", "controller-revision-hash"


class NodePod(msgspec.Struct, frozen=True, kw_only=True):
    """The pod of a node."""

    node: str
    pod: str
    is_current: bool
    """Of the DaemonSet's newest version, and not being deleted."""

    is_ready: bool = False
    is_pulling: bool = False
    """The container that pulls runs."""

    is_starting: bool = False
    """No container has run yet."""

    skipped: str = ""
    """Why its run was not needed (`fetch --for-pods`), one line; empty: it was, or it has not ended."""

    has_failed: bool = False
    """The program has ended as images are missing, and does not run at the moment."""

    trouble: PodTrouble | None = None
    """What keeps it from pulling, but for images that are missing."""

    @property
    def counts(self) -> bool:
        """Whether the node needs the images, as far as its pod of now says."""
        return not (self.is_current and self.skipped)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of a DaemonSet's pods."""

    generation: str = ""
    """Of the template; empty: unknown."""

    hash: str = ""
    """Empty: unknown."""

    owner: str = ""
    """UID of the DaemonSet: one that was deleted and created again has the first generation again. Empty: unknown."""

    def matches(self, pod: Pod) -> bool:
        """Whether a pod is of this version, as the DaemonSet's controller decides it: one of both is equal."""
        owners = {each.uid for each in pod.metadata.owner_references or ()}
        if self.owner and owners and self.owner not in owners:
            return False
        labels = pod.metadata.labels or {}
        if not (self.generation or self.hash):
            return True
        return (bool(self.generation) and labels.get(GENERATION_LABEL) == self.generation) or (
            bool(self.hash) and labels.get(HASH_LABEL) == self.hash
        )


def newest_hash(revisions: Iterable[ControllerRevision]) -> str:
    """The hash of the newest version; empty: there is none."""
    newest = max(revisions, key=lambda each: each.revision, default=None)
    return "" if newest is None else (newest.metadata.labels or {}).get(HASH_LABEL, "")


def pods_of_nodes(pods: Sequence[Pod], revision: Revision, container: str) -> dict[str, NodePod]:
    """The pod of each node, by the node's name.

    Where a node has several, one is being replaced: the one that counts is current, or else the youngest.

    Args:
        pods: of the DaemonSet.
        revision: the newest.
        container: name of the container that pulls.
    """
    chosen: dict[str, tuple[tuple[bool, str], NodePod]] = {}
    for pod in pods:
        node = pod.node
        if not node:
            continue
        view = _view(pod, revision, container)
        rank = (view.is_current, pod.metadata.creation_timestamp or "")
        if node not in chosen or rank > chosen[node][0]:
            chosen[node] = (rank, view)
    return {node: view for node, (_, view) in chosen.items()}


def _view(pod: Pod, revision: Revision, container: str) -> NodePod:
    status = pod.status
    ready = status.condition("Ready")
    blocking = [each for each in pod_troubles(pod, 0) if each.is_blocking]
    is_scheduled = (scheduled := status.condition("PodScheduled")) is None or scheduled.status == "True"
    is_starting = is_scheduled and all(_is_new(each) for each in status.containers) and status.phase in {"", "Pending"}
    return NodePod(
        node=pod.node,
        pod=pod.metadata.name,
        is_current=pod.metadata.deletion_timestamp is None and revision.matches(pod),
        is_ready=ready is not None and ready.status == "True",
        is_pulling=any(each.name == container and each.state.running is not None for each in status.containers),
        is_starting=is_starting,
        skipped=next(filter(None, map(_skipped, (each for each in status.containers if each.name == container))), ""),
        has_failed=any(each.exit_code == IMAGES_MISSING for each in blocking),
        trouble=None if is_starting else next((each for each in blocking if each.exit_code != IMAGES_MISSING), None),
    )


def _skipped(status: ContainerStatus) -> str:
    """Why the run of this container was not needed, which it says when it ends; empty: it was."""
    ended = status.state.terminated
    outcome = read_outcome(ended.message) if ended is not None and ended.exit_code == 0 else None
    return bounded(scrub(outcome.why or outcome.outcome), TEXT_LIMIT) if outcome else ""


def _is_new(status: ContainerStatus) -> bool:
    """Whether a container has not run yet, and nothing keeps it from it."""
    waiting = status.state.waiting
    return waiting is not None and waiting.reason in BETWEEN and not status.restart_count
