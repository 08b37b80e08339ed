"""Reads the log of a pod, for where the aggregator does not know enough."""

import msgspec

from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.pod_log import LogLine, read_log
from nodeprefetch.errors import NoAccessError
from nodeprefetch.kube import KubeError
from nodeprefetch.kube.read_objects import ContainerStatus, Pod

LOG_LINES = 2_000
"""Lines of a log that are read, the last ones."""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """What the pod has logged."""

    lines: tuple[LogLine, ...] = ()
    written_by: str = ""
    """Which container of which pod; empty: it was not read."""

    notes: tuple[str, ...] = ()


async def read_pod_log(access: ClusterAccess, pod: Pod, container: str) -> Logged:
    """Read what the container that pulls has logged, also before its last restart. What cannot be read becomes a note.

    Args:
        access: the cluster.
        pod: of the DaemonSet.
        container: name of the container that pulls.
    """
    status = next((each for each in pod.status.containers if each.name == container), None)
    if status is None or not _has_run(status):
        return Logged()
    text = ""
    notes: list[str] = []
    metadata = pod.metadata
    for is_previous in (True, False) if status.state.running and status.last_state.terminated else (False,):
        try:
            log = await access.kube.pod_log(
                metadata.namespace, metadata.name, container, lines=LOG_LINES, previous=is_previous
            )
            text += f"{log}\n"  # a container that is killed leaves half a line
        except NoAccessError as refused:
            return Logged(notes=(f"the pod's log cannot be read: {refused.on_one_line}",))
        except KubeError as error:
            if not is_previous:  # the kubelet keeps the log of the container before for as long as it likes
                notes.append(f"the pod's log cannot be read: {error}")
    return Logged(
        lines=read_log(text),
        written_by=f"container {container} of pod {metadata.name}" if text.strip() else "",
        notes=tuple(notes),
    )


def _has_run(status: ContainerStatus) -> bool:
    return status.state.waiting is None or status.last_state.terminated is not None
