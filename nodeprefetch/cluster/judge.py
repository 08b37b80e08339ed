"""Puts a picture together: the DaemonSet, its pods, the list of now and what nodes have reported. Pure functions.

A node is warm if its pod is of the newest version and ready, and the node has reported that all images of the list of
now are there. An older report does not count, nor one that does not say which list it is about.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from nodeprefetch.board import BoardImage
from nodeprefetch.cluster.advice import PAGE
from nodeprefetch.cluster.advice import advice as advice_for
from nodeprefetch.cluster.current_list import CurrentList
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.cluster.picture import Cause, ImagePicture, NodePicture, NodeState, Picture
from nodeprefetch.cluster.pods import TEXT_LIMIT, NodePod
from nodeprefetch.cluster.reports import NodeReport, Stage
from nodeprefetch.report.run_result import bounded
from nodeprefetch.text.scrub import scrub

EXAMPLES = 10
"""Nodes that a cause names."""


_CORRECT_LIST = f"correct the list ({PAGE}#nothing-is-pulled-exit-code-2)"
_READ_LOG = f"read the log of its pod, which names them ({PAGE}#an-image-fails)"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of an installation."""

    installation: Installation
    current: CurrentList
    pods: Mapping[str, NodePod]
    """By node."""

    reports: Mapping[str, NodeReport]
    """By node; of any list. Nodes without a pod do not count."""

    source: str
    notes: tuple[str, ...] = ()
    images: Sequence[BoardImage] = ()
    """Of the aggregator."""

    seconds_left: int | None = None
    shows_progress: bool = True
    """False: nodes report the ends of their runs alone, so only pods show that they pull."""


class _Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A node, and what keeps it from being warm."""

    picture: NodePicture
    causes: tuple[Cause, ...] = ()
    """Each of this node alone."""


def picture_of(facts: Facts) -> Picture:
    """What is known of an installation."""
    judged = [_judge(pod, facts.reports.get(node), facts) for node, pod in sorted(facts.pods.items()) if pod.counts]
    nodes = tuple(each.picture for each in judged)
    current = facts.current
    heard = [node.heard for node in nodes if node.heard is not None]
    return Picture(
        namespace=facts.installation.namespace,
        name=facts.installation.name,
        source=facts.source,
        notes=facts.notes,
        list_digest=current.digest,
        list_images=None if current.digest is None else current.images,
        list_problems=current.problems,
        is_settled=facts.installation.is_settled and len(facts.pods) == facts.installation.desired,
        nodes=nodes,
        skipped=tuple(
            NodePicture(node=node, state=NodeState.SKIPPED, why=pod.skipped, pod=pod.pod)
            for node, pod in sorted(facts.pods.items())
            if not pod.counts
        ),
        images=_images(facts),
        causes=_joined(cause for each in judged for cause in each.causes),
        heard=max(heard, default=None),
        seconds_left=facts.seconds_left,
    )


def _judge(pod: NodePod, report: NodeReport | None, facts: Facts) -> _Judged:
    """Decide about one node: what its pod says, then whether its report counts, then what it says."""
    heard = report.heard if report else None
    if not pod.is_current:
        return _judged(pod, NodeState.WAITING, "its pod is of an older version of the DaemonSet", heard)
    if pod.trouble is not None:
        state = NodeState.UNSEEN if pod.trouble.exit_code is None else NodeState.FAILED
        return _judged(pod, state, bounded(pod.trouble.text, TEXT_LIMIT), heard, advice=pod.trouble.advice)
    if facts.current.problems:
        return _judged(pod, NodeState.WAITING, "the image list of now is invalid", heard)
    if report is not None and facts.current.digest in {None, report.list_digest}:
        return _judge_report(pod, report, facts)
    if report is not None and report.list_rejected:
        why = f"does not use its newest list: {_line(report.list_rejected)}"
        return _judged(pod, NodeState.WAITING, why, heard, advice=_CORRECT_LIST)
    return _judge_silence(pod, report, facts)


def _judge_silence(pod: NodePod, report: NodeReport | None, facts: Facts) -> _Judged:
    """Decide about a node that has not reported the list of now."""
    heard = report.heard if report else None
    if pod.has_failed:
        return _judged(pod, NodeState.FAILED, "some images could not be pulled", heard, advice=_READ_LOG)
    if pod.is_pulling and not pod.is_ready and not facts.shows_progress:
        return _judged(pod, NodeState.PULLING, "its run has not ended", heard)
    if report is not None:
        return _judged(pod, NodeState.WAITING, "has not reported the list of now yet", heard)
    if pod.is_starting:
        return _judged(pod, NodeState.UNSEEN, "its pod is starting", heard)
    return _judged(pod, NodeState.UNSEEN, "nothing was heard of it", heard)


def _judge_report(pod: NodePod, report: NodeReport, facts: Facts) -> _Judged:
    """Decide about a node that has reported the list of now."""
    state, why = _state(pod, report, facts)
    failures = report.failures if state in {NodeState.FAILED, NodeState.PULLING} else ()
    final = tuple(each.image for each in failures if each.is_final) if state is NodeState.FAILED else ()
    picture = NodePicture(
        node=pod.node,
        state=state,
        why=why,
        is_final=bool(final),
        present=report.present,
        images=report.images,
        missing=report.missing,
        final_images=final,
        done_bytes=report.done_bytes,
        total_bytes=report.total_bytes,
        rate=report.rate,
        heard=report.heard,
        pod=pod.pod,
    )
    causes = [
        Cause(
            text=_line(each.error) or "unknown error",
            nodes=1,
            examples=(pod.node,),
            image=each.image,
            error_class=each.error_class,
            reason=each.reason,
            is_final=each.image in final,
            advice=advice_for(each.error_class, each.reason),
        )
        for each in failures
    ]
    return _Judged(picture=picture, causes=tuple(causes))


def _state(pod: NodePod, report: NodeReport, facts: Facts) -> tuple[NodeState, str]:
    arguments = facts.installation.arguments
    is_run_again = pod.is_pulling and not facts.shows_progress and not (arguments and arguments.is_keep)
    match report.stage:
        case Stage.COMPLETE if pod.is_ready:
            return NodeState.WARM, ""
        case Stage.COMPLETE:
            return NodeState.WAITING, "all images are there, but its pod is not ready"
        case Stage.WAITING:
            return NodeState.WAITING, "has not begun to pull"
        case Stage.FAILED if not is_run_again:
            return NodeState.FAILED, _why(report)
        case _:
            return NodeState.PULLING, _why(report) if report.failures else "pulls"


def _why(report: NodeReport) -> str:
    count = report.images - report.present
    missing = f"{count} of {report.images} images missing" if report.images else "images are missing"
    first = next(iter(sorted(report.failures, key=lambda each: not each.is_final)), None)
    return f"{missing}: {first.image}: {_line(first.error)}" if first else missing


def _judged(pod: NodePod, state: NodeState, why: str, heard: float | None, *, advice: str | None = None) -> _Judged:
    """A node of which no report counts. With advice, that is a cause, even if there is nothing to be done."""
    picture = NodePicture(node=pod.node, state=state, why=why, heard=heard, pod=pod.pod)
    if advice is None:
        return _Judged(picture=picture)
    return _Judged(picture=picture, causes=(Cause(text=why, nodes=1, examples=(pod.node,), advice=advice),))


def _images(facts: Facts) -> tuple[ImagePicture, ...]:
    """The images of the list of now, or, if that cannot be read, those of the aggregator. Empty without one."""
    if not facts.images:
        return ()
    known = {image.image: image for image in facts.images}
    names = facts.current.images or tuple(known)
    counted = {node for node, pod in facts.pods.items() if pod.counts}
    reports = [
        report
        for node, report in facts.reports.items()
        if node in counted and facts.current.digest in {None, report.list_digest} and report.missing is not None
    ]
    missing = Counter(image for report in reports for image in report.missing or ())
    return tuple(
        ImagePicture(
            image=name,
            size=known[name].size if name in known else 0,
            present=len(reports) - missing[name],
            missing=len(counted) - len(reports) + missing[name],
            digests=known[name].digests if name in known else 0,
        )
        for name in names
    )


def _joined(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Join equal causes of several nodes, those of the most nodes first."""
    groups: dict[tuple[object, ...], list[Cause]] = defaultdict(list)
    for cause in causes:
        text = "" if cause.reason else cause.text
        groups[cause.image, cause.error_class, cause.reason, cause.is_final, text].append(cause)
    joined = [
        msgspec.structs.replace(
            group[0], nodes=len(group), examples=tuple(each.examples[0] for each in group[:EXAMPLES])
        )
        for group in groups.values()
    ]
    return tuple(sorted(joined, key=lambda cause: (-cause.nodes, cause.image, cause.reason, cause.text)))


@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    """The text on one line, without secrets. Many nodes have the same."""
    return bounded(scrub(text), TEXT_LIMIT)
