"""Says on the node that its image lists are invalid, where no run can begin: otherwise only the log has it."""

import sys
import time
from collections.abc import Sequence

import trio

from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.events import ListRejected
from nodeprefetch.report.log import log_to
from nodeprefetch.report.node_condition import NodeCondition
from nodeprefetch.report.node_events import NodeEvents
from nodeprefetch.report.readers import Reporter, reporting
from nodeprefetch.settings import LogFormat
from nodeprefetch.text.outlet import open_outlet
from nodeprefetch.text.scrub import scrub

GRACE = 5.0
"""Seconds for saying it. The pod is restarted anyway, and says it again."""


def report_invalid_list(
    problems: Sequence[str],
    *,
    log_format: LogFormat,
    notices: Notices,
    emit: Emitter,
    speakers: Sequence[Reporter],
) -> None:
    """Set the node's condition and create an event. The label stays: it is about the images of an earlier list.

    Args:
        problems: what is wrong with the lists, at least one line.
        log_format: of what is logged about that.
        notices: kept so far; logged.
        emit: takes the events about what was written.
        speakers: write on the node.
    """
    rejected = ListRejected(problems=tuple(map(scrub, problems)), since=time.time())
    about_lists = [each for each in speakers if isinstance(each, NodeCondition | NodeEvents)]
    if not about_lists:
        return

    async def main() -> None:
        async with reporting((), grace=GRACE, speakers=about_lists):
            for speaker in about_lists:
                speaker.emit(rejected)

    with open_outlet(sys.stderr) as outlet:
        emit.add_first(log_to(outlet.put, log_format))
        notices.pass_to(emit)
        trio.run(main)
