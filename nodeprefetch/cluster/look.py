"""Looks at an installation, as often as it is asked to."""

from collections.abc import Mapping, Sequence

import trio

from nodeprefetch.board import Board
from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.board_source import BoardSource
from nodeprefetch.cluster.current_list import CurrentList, read_current_list
from nodeprefetch.cluster.installation import Installation, read_again
from nodeprefetch.cluster.judge import Facts, picture_of
from nodeprefetch.cluster.picture import Picture, node_count
from nodeprefetch.cluster.pods import GENERATION_LABEL, Revision, newest_hash, pods_of_nodes
from nodeprefetch.cluster.reports import NodeReport, board_reports, node_report
from nodeprefetch.errors import NoAccessError, NodeprefetchError, leaves
from nodeprefetch.kube.read_objects import Pod

NODES = "node labels and pods"
"""The source without an aggregator."""


class Observer:
    """Looks at one installation, from the best source that answers.

    Args:
        access: the cluster, whose connections are kept.
        installation: as it was found; the first look does not read its DaemonSet again.
    """

    def __init__(self, access: ClusterAccess, installation: Installation) -> None:
        self._access = access
        self._installation = installation
        self._is_fresh = True
        self._board = BoardSource(access)
        self.pods: Sequence[Pod] = ()
        """Of the installation, as they were last read."""

    @property
    def installation(self) -> Installation:
        """As it was last read."""
        return self._installation

    async def look(self) -> Picture:
        """Return what is known at this moment.

        Raises:
            NotFoundError: the DaemonSet is gone.
            NoAccessError: a permission is missing that every source needs.
            PassingKubeError: the API server did not answer; a later look may succeed.
            KubeError: the API server did not do what was asked.
        """
        if not self._is_fresh:
            self._installation = await read_again(self._access, self._installation)
        self._is_fresh = False
        try:
            look = _Look(self._access, self._installation, self._board)
            picture = await look.picture()
        except BaseExceptionGroup as group:  # of tasks that ran at the same time: the first one says why
            errors = [each for each in leaves(group) if not isinstance(each, trio.Cancelled)]
            if errors and all(isinstance(each, NodeprefetchError) for each in errors):
                raise errors[0] from None
            raise
        self.pods = look.pods
        return picture


class _Look:
    """One look."""

    def __init__(self, access: ClusterAccess, installation: Installation, source: BoardSource) -> None:
        self._kube = access.kube
        self._installation = installation
        self._source = source
        self._notes = list(installation.notes)
        self.pods: list[Pod] = []
        self._revision = Revision()
        self._current = CurrentList()
        self._board: Board | None = None
        self._of_nodes: Mapping[str, NodeReport] | None = None

    async def picture(self) -> Picture:
        """Read everything, at the same time as far as possible, and judge it."""
        installation = self._installation
        is_board_wanted = self._source.is_possible(installation)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_pods)
            nursery.start_soon(self._read_list)
            nursery.start_soon(self._read_board if is_board_wanted else self._read_nodes)
        pods = pods_of_nodes(self.pods, self._revision, installation.container)
        reports = board_reports(self._board) if self._board else {}
        counted = {node: pod for node, pod in pods.items() if pod.counts}
        unheard = [node for node, pod in counted.items() if node not in reports and pod.is_ready]
        if is_board_wanted and (self._board is None or unheard):
            await self._read_nodes()
        is_aggregated = bool(self._board) and any(node in reports for node in counted)
        notes = [*self._notes, *self._source.notes(installation), *self._current.notes]
        if is_aggregated and unheard:
            notes.append(f"the aggregator has not heard of {node_count(len(unheard))}; their labels are used")
        elif self._board and counted and not is_aggregated:
            notes.append(f"the aggregator has not heard of any node of {installation.instance}")
        if installation.is_settled and len(pods) < installation.desired:
            notes.append(
                f"the DaemonSet should have {installation.desired} pods, but {len(pods)} exist"
                f" (kubectl describe daemonset {installation.name} -n {installation.namespace})"
            )
        return picture_of(
            Facts(
                installation=installation,
                current=self._current,
                pods=pods,
                reports={**(self._of_nodes or {}), **reports},
                source=self._source.name if is_aggregated else NODES,
                notes=tuple(notes),
                images=self._board.images if self._board and is_aggregated else (),
                seconds_left=self._board.summary.seconds_left if self._board and is_aggregated else None,
                shows_progress=is_aggregated,
            )
        )

    async def _read_pods(self) -> None:
        """Read the pods, and which version of them is the newest if theirs do not say so."""
        installation = self._installation
        self.pods = await self._kube.pods(installation.namespace, installation.selector)
        generation = installation.template_generation
        self._revision = Revision(generation=generation, owner=installation.uid)
        generations = {(pod.metadata.labels or {}).get(GENERATION_LABEL) for pod in self.pods}
        if generation and generations <= {generation}:
            return
        try:
            revisions = await self._kube.revisions(installation.namespace, installation.selector)
        except NoAccessError as refused:
            # Only a change that was taken back can be missed: its pods are of the newest version all the same.
            self._notes.append(f"pods from before a change that was taken back look old: {refused.on_one_line}")
            return
        self._revision = Revision(generation=generation, hash=newest_hash(revisions), owner=installation.uid)

    async def _read_list(self) -> None:
        self._current = await read_current_list(self._kube, self._installation)

    async def _read_board(self) -> None:
        self._board = await self._source.board(self._installation)

    async def _read_nodes(self) -> None:
        installation = self._installation
        try:
            nodes = await self._kube.nodes()
        except NoAccessError as refused:
            if self._board is None:
                raise
            self._notes.append(f"node labels cannot be read: {refused.on_one_line}")
            return
        reports = {
            node.name: node_report(node, prefix=installation.label_prefix, instance=installation.instance)
            for node in nodes
        }
        self._of_nodes = {name: report for name, report in reports.items() if report is not None}
