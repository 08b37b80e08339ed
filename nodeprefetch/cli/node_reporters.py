"""Prepares the reporters that write on the node, which share one client of the Kubernetes API."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags, KeepFlags
from nodeprefetch.cli.node_access import connect_for
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import UsageError
from nodeprefetch.kube import Node
from nodeprefetch.report.label_key import check_prefix
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_events import NodeEvents
from nodeprefetch.report.node_label import NodeLabel
from nodeprefetch.report.readers import Reporter

if TYPE_CHECKING:
    from nodeprefetch.cli.gate import PreparedGate


def node_reporters(
    flags: FetchFlags,
    notices: Notices,
    emit: Emitter,
    environment: Environment,
    *,
    on_node: Callable[[Node], None] = lambda _: None,
    is_warm: bool,
    is_report: bool = False,
    gate: "PreparedGate | None" = None,
) -> Sequence[Reporter]:
    """Everything that writes on the node, in the order in which it is to be written. Nothing without the names.

    Args:
        flags: of the command.
        notices: takes messages for people.
        emit: takes the events about what was written.
        environment: of the process.
        on_node: called with the node each time that it was read or changed.
        is_warm: the node was found to have all images.
        is_report: report everything, also if nothing has changed.
        gate: of the node; None: it takes pods without its images.

    Raises:
        UsageError: a flag is invalid.
    """
    prefix, instance = flags.node_label_prefix, environment.instance_name
    check_prefix(prefix)
    if gate is not None and gate.taints and not environment.node_name:
        raise UsageError(["--remove-taint requires NODE_NAME, the name of the node"])
    api = node_api(flags, notices, environment, on_node=on_node)
    taints: list[Reporter] = []
    if gate is not None and gate.taints:
        from nodeprefetch.report.startup_taints import StartupTaints  # noqa: PLC0415 - only with this flag

        taints.append(StartupTaints(api, gate.taints, gate=gate.gate, emit=emit, report=gate.keeper.confirmation()))
    if not (environment.node_name and instance):
        # Without NODE_NAME this is hardly a pod; somebody runs it by hand.
        log, unset = (notices.add, "INSTANCE_NAME") if environment.node_name else (notices.info, "NODE_NAME")
        log(f"{_enabled(flags)} disabled: {unset} is not set")
        return taints
    reporters: list[Reporter] = []
    if flags.node_condition:
        from nodeprefetch.report.node_condition import NodeCondition  # noqa: PLC0415 - only with this flag

        condition = NodeCondition(
            api,
            instance,
            prefix=prefix,
            emit=emit,
            is_warm=is_warm,
            is_report=is_report,
            has_heartbeat=isinstance(flags, KeepFlags),
            gate=gate.gate if gate is not None else None,
            report=gate.keeper.confirmation() if gate is not None else None,
        )
        reporters.append(condition)
    reporters.append(NodeLabel(api, instance, prefix=prefix, emit=emit, is_warm=is_warm))
    reporters += taints
    if not flags.no_events:
        reporters.append(NodeEvents(api, instance, is_warm=is_warm))
    return reporters


def node_api(
    flags: FetchFlags, notices: Notices, environment: Environment, *, on_node: Callable[[Node], None]
) -> NodeApi:
    """What calls the Kubernetes API about this node, as the flags say."""
    return NodeApi(
        environment.node_name,
        connect=connect_for(flags, environment),
        warn=notices.add,
        inform=notices.info,
        on_node=on_node,
    )


def _enabled(flags: FetchFlags) -> str:
    """What would be written on the node."""
    parts = ["condition"] * flags.node_condition + ["label"] + ["events"] * (not flags.no_events)
    *others, last = parts
    return f"node {', '.join(others)} and {last}" if others else f"node {last}"
