"""`keep`: checks its flags and becomes the supervisor (`nodeprefetch.keep`). Started by that, it makes one `fetch`."""

import math
import os
import signal
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

from nodeprefetch.cli.environment import Environment, read_environment
from nodeprefetch.cli.flag_settings import read_seconds
from nodeprefetch.cli.flags import FetchFlags, Images, KeepFlags
from nodeprefetch.cli.inputs import ImageListError, read_images, read_list_file, read_needed
from nodeprefetch.cli.output import warn
from nodeprefetch.errors import Problems
from nodeprefetch.events import Event, ListRejected, NodeConditionSet, NodeLabelled
from nodeprefetch.keep.lists import Snapshot, memory_file
from nodeprefetch.keep.orders import (
    ALLOWED_FAILURES,
    BROKEN_LIST,
    ORDER_VARIABLE,
    SOME_IMAGE_MISSING,
    STALE_TAGS,
    STALE_UNREPORTED,
    STILL_CLOSED,
    SUPERVISE,
    UNDELIVERED,
    UNREPORTED,
    Expected,
    Order,
    Plan,
    Rejection,
)
from nodeprefetch.keep.schedule import CHECK
from nodeprefetch.settings import FetchSettings, LogFormat, PullPolicy
from nodeprefetch.text.scrub import scrub
from nodeprefetch.tickets.spread import place
from nodeprefetch.values.image_ref import ImageRef

GATE_FILE_VARIABLE = "NODEPREFETCH_GATE_FILE"
"""Of the flag `--gate-file`."""

DONE, SIGNAL_BASE = 0, 128
"""Exit codes of a run, which the supervisor alone sees; more are in `nodeprefetch.keep.orders`."""

REPORTED_PROBLEMS = 10
"""Of invalid lists: all nodes may get them at the same time. The log has more."""


def keep(*images: Images, flags: KeepFlags = KeepFlags()) -> int:  # noqa: B008 - frozen
    """Keep all listed images on this node until stopped.

    Returns:
        the exit code of a run. Without an order to make one, it becomes the supervisor and does not return.

    Raises:
        UsageError: with all problems of what the user gave.
    """
    environment = read_environment()
    if order := environment.variables.get(ORDER_VARIABLE):
        return _run(Order.parse(order), flags, images, environment)
    return _become_supervisor(_plan(_with_gate_file(flags), images, environment))


def _with_gate_file(flags: KeepFlags) -> KeepFlags:
    """Have all runs count from the start of this process where no file remembers an earlier one: in memory."""
    if not flags.has_gate or flags.gate_file:
        return flags
    file = f"/proc/self/fd/{memory_file('gate')}"
    os.environ[GATE_FILE_VARIABLE] = file
    return replace(flags, gate_file=file)


def _become_supervisor(plan: Plan) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    # From now on signals wait for the supervisor.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    os.execv(sys.executable, [sys.executable, *_launcher(), SUPERVISE, *plan.to_arguments()])  # noqa: S606 - ourselves


def _plan(flags: KeepFlags, images: Sequence[str], environment: Environment) -> Plan:
    """Check everything, and read the lists.

    Raises:
        UsageError: with all problems.
    """
    from nodeprefetch.cli.prepare import prepare  # noqa: PLC0415 - not for --help

    contents: dict[str, bytes] = {}

    def read(file: str) -> bytes:
        if file not in contents:
            contents[file] = read_list_file(file)
        return contents[file]

    problems = Problems()
    check_every = refresh_every = report_every = math.inf
    with problems.collected():
        check_every = read_seconds(flags, "check_every")
    with problems.collected():
        if flags.refresh_every != "never":
            refresh_every = read_seconds(flags, "refresh_every")
    with problems.collected():
        report_every = report_interval(flags)
    with problems.collected():
        prepared = prepare(
            flags, partial(read_images, flags.image_list_file, images, read=read), environment, read=read
        )
    port = -1
    with problems.collected():
        if flags.ready_address:
            from nodeprefetch.cli.ready_port import bind_ready_port  # noqa: PLC0415 - only with that flag

            port = bind_ready_port(flags.ready_address).detach()
    problems.raise_if_any()
    if port >= 0:
        os.set_inheritable(port, True)  # noqa: FBT003 - takes no keyword
    return Plan(
        check_every=check_every,
        refresh_every=refresh_every,
        report_every=report_every,
        gate_at=prepared.gate.gives_up_at if prepared.gate else math.inf,
        place=place(environment.instance_name, environment.reporting_node),
        log_format=flags.log_format or LogFormat.LOGFMT,
        port=port,
        paths=["" if file == "-" or not _is_regular(file) else file for file in _files(flags)],
        snapshot=Snapshot.of([contents[file] for file in _files(flags)]),
        command=[*_launcher(), *sys.argv[1:]],
    )


def _files(flags: FetchFlags) -> tuple[str, ...]:
    """The lists that runs follow."""
    return (*flags.image_list_file, *([flags.gate_needs] if flags.gate_needs is not None else []))


def _launcher() -> list[str]:
    """What comes between Python and our own arguments: `-m nodeprefetch`, or flags of Python and a script."""
    return sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]


def _is_regular(file: str) -> bool:
    """Whether it can be read again, unlike a pipe."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)  # noqa: PTH116 - a link to the end
    except OSError:
        return True  # gone since it was read, to come back


def _run(order: Order, flags: KeepFlags, images: Sequence[str], environment: Environment) -> int:
    """Make a run. Returns its exit code, which the supervisor reads.

    Raises:
        UsageError: what the user gave has become invalid; the lists are not to blame.
    """
    lists = dict(zip(_files(flags), order.snapshot.contents(), strict=True))
    try:
        refs = read_images(flags.image_list_file, images, read=lists.__getitem__)
        read_needed(flags.gate_needs, refs, read=lists.__getitem__)
    except ImageListError as error:
        for problem in error.problems:
            warn(problem)
        problems = [scrub(problem) for problem in error.problems[:REPORTED_PROBLEMS]]
        Rejection(since=time.time(), problems=problems).write(order.rejected)
        return BROKEN_LIST
    if order.kind == CHECK:
        flags = replace(flags, pull_policy=PullPolicy.IF_NOT_PRESENT.value)

    from nodeprefetch.cli.prepare import prepare  # noqa: PLC0415 - not for --help
    from nodeprefetch.cli.running import run_prepared  # noqa: PLC0415
    from nodeprefetch.pull.run import SUPERSEDED  # noqa: PLC0415

    prepared = prepare(
        flags,
        lambda: refs,
        environment,
        is_warm=order.is_settled,
        is_report=order.is_report,
        read=lists.__getitem__,
        report_every=report_interval(flags),
        rejection=_rejection(order),
    )
    unwritten: list[Event] = []

    def hear(event: Event) -> None:
        if isinstance(event, NodeLabelled | NodeConditionSet) and event.error:
            unwritten.append(event)

    prepared.emit.add(hear)
    stops = (signal.SIGTERM, signal.SIGINT, SUPERSEDED)
    report = run_prepared(prepared, LogFormat(flags.log_format or LogFormat.LOGFMT), stops=stops)
    if report.signal is not None:
        return SIGNAL_BASE + report.signal
    if prepared.is_still_closed:
        return STILL_CLOSED
    if report.failed:
        return ALLOWED_FAILURES if flags.allow_failures else SOME_IMAGE_MISSING
    if not flags.debug:  # otherwise each check reports
        _expect(refs, prepared.settings).write(order.expected)
    if any(image.error for image in report.images):
        return STALE_UNREPORTED if unwritten else STALE_TAGS
    if unwritten:
        return UNREPORTED
    return DONE if report.is_delivered else UNDELIVERED


def report_interval(flags: KeepFlags) -> float:
    """Seconds between reports of everything; infinite if nobody would hear them.

    Raises:
        UsageError: the flag is invalid.
    """
    seconds = read_seconds(flags, "report_every")
    has_aggregator = flags.metrics_endpoint and flags.metrics_protocol != "grpc"  # which has attempts only
    return seconds if has_aggregator or flags.node_condition else math.inf


def _rejection(order: Order) -> ListRejected | None:
    found = Rejection.read(order.rejected)
    return ListRejected(problems=found.problems, since=found.since) if found else None


def _expect(images: Sequence[ImageRef], settings: FetchSettings) -> Expected:
    """What the checks after a good run are to look for."""
    from nodeprefetch.cli.presence import take_inventory  # noqa: PLC0415 - not for --help

    socket, timeout = settings.cri_socket or "", settings.image_list_timeout
    names = [image.pull_ref for image in images]
    inventory = take_inventory(socket, timeout=timeout) if settings.pin else None
    pinned = [name for name in names if inventory and (record := inventory.named(name)) and record.pinned]
    return Expected(socket=socket, timeout=timeout, names=names, pinned=pinned)
