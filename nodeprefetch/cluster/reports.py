"""What a node has reported, from the aggregator's board or from its label and annotation. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from nodeprefetch.board import FAILED as CELL_FAILED
from nodeprefetch.board import PRESENT as CELL_PRESENT
from nodeprefetch.board import PULLING as CELL_PULLING
from nodeprefetch.board import SUCCEEDED as CELL_SUCCEEDED
from nodeprefetch.board import UNLISTED, Board, BoardCause, BoardNode
from nodeprefetch.kube.read_objects import Metadata
from nodeprefetch.report.label_key import label_key, read_summary, summary_key
from nodeprefetch.report.run_result import SUCCEEDED, FirstFailure
from nodeprefetch.runtime.faults import FINAL, FaultClass
from nodeprefetch.values.timestamp import parse_timestamp

_THERE = (CELL_SUCCEEDED, CELL_PRESENT)


class Stage(Enum):
    """How far a node has come with the list that it has."""

    COMPLETE = "complete"
    PULLING = "pulling"
    WAITING = "waiting"
    FAILED = "failed"
    """Its run has ended, and images are missing."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An image that failed on a node."""

    image: str
    error: str
    error_class: str = ""
    reason: str = ""

    @property
    def is_final(self) -> bool:
        """Whether repeating what was done cannot help."""
        return self.error_class in FINAL


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has reported."""

    stage: Stage
    list_digest: str = ""
    """Of its list; empty: unknown."""

    images: int = 0
    present: int = 0
    missing: tuple[str, ...] | None = None
    """None: unknown."""

    failures: tuple[Failure, ...] = ()
    """Those that are known."""

    list_rejected: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    rate: int = 0
    heard: float | None = None


def board_reports(board: Board) -> dict[str, NodeReport]:
    """The report of each node of a board."""
    names = tuple(image.image for image in board.images)
    causes: dict[str, list[BoardCause]] = defaultdict(list)
    for cause in board.causes:
        causes[cause.image].append(cause)
    return {node.node: _of_board(node, names, causes) for node in board.nodes}


def node_report(node: Metadata, *, prefix: str, instance: str) -> NodeReport | None:
    """The report that a node's label and annotation make; None: there is no label."""
    label = (node.labels or {}).get(label_key(prefix, instance))
    if label is None:
        return None
    summary = read_summary((node.annotations or {}).get(summary_key(prefix, instance), ""))
    if summary is None or summary.result != label:
        return NodeReport(stage=Stage.COMPLETE if label == SUCCEEDED else Stage.FAILED)
    present = summary.succeeded + summary.present
    failures: tuple[Failure, ...] = ()
    missing: tuple[str, ...] | None = ()
    if summary.failed or label != SUCCEEDED:
        first = summary.first_failure
        failures = (_of_annotation(first),) if first else ()
        missing = (first.image,) if first and summary.failed == 1 and present + 1 == summary.images else None
    return NodeReport(
        stage=Stage.COMPLETE if label == SUCCEEDED else Stage.FAILED,
        list_digest=summary.list_digest,
        images=summary.images,
        present=present,
        missing=missing,
        failures=failures,
        heard=parse_timestamp(summary.time),
    )


def _of_board(node: BoardNode, names: Sequence[str], causes: Mapping[str, Sequence[BoardCause]]) -> NodeReport:
    cells = Counter(node.cells)
    present = sum(cells[cell] for cell in _THERE)
    images = len(node.cells) - cells[UNLISTED]
    missing: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    if present < images:
        missing = tuple(name for name, cell in zip(names, node.cells, strict=False) if cell not in (*_THERE, UNLISTED))
        failures = tuple(
            _failure(node, name, index in node.final, causes.get(name, ()))
            for index, (name, cell) in enumerate(zip(names, node.cells, strict=False))
            if cell == CELL_FAILED
        )
    return NodeReport(
        stage=_stage(node, cells),
        list_digest=node.list_digest,
        images=images,
        present=present,
        missing=missing,
        failures=failures,
        list_rejected=node.list_rejected,
        done_bytes=node.done_bytes,
        total_bytes=node.total_bytes,
        rate=node.rate,
        heard=node.heard or None,
    )


def _stage(node: BoardNode, cells: Counter[str]) -> Stage:
    match node.state:
        case "succeeded" | "present":
            return Stage.COMPLETE
        case "pulling":
            return Stage.PULLING
        case "failed":
            return Stage.FAILED if node.run_end else Stage.PULLING
        case _:
            return Stage.PULLING if cells[CELL_PULLING] else Stage.WAITING


def _failure(node: BoardNode, image: str, is_final: bool, causes: Sequence[BoardCause]) -> Failure:  # noqa: FBT001
    """Why an image failed on a node. Causes name few of their nodes: of the others, the most frequent fitting one."""
    named = [cause for cause in causes if node.node in cause.examples]
    fitting = named or [cause for cause in causes if (cause.error_class in FINAL) == is_final] or causes
    if not fitting:
        return Failure(image=image, error="", error_class=FaultClass.PERMANENT.value if is_final else "")
    cause = fitting[0]
    return Failure(image=image, error=cause.error, error_class=cause.error_class, reason=cause.reason)


def _of_annotation(first: FirstFailure) -> Failure:
    return Failure(image=first.image, error=first.error, error_class=first.error_class, reason=first.reason)
