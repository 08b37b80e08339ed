"""Prepares the reporters that write on the node, which share one client of the Kubernetes API."""

from collections.abc import Sequence
from functools import partial

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.kube import connect
from nodeprefetch.report.label_key import check_prefix
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_label import NodeLabel
from nodeprefetch.report.readers import Reporter


def node_reporters(
    flags: FetchFlags, notices: Notices, emit: Emitter, environment: Environment, *, is_warm: bool
) -> Sequence[Reporter]:
    """Everything that writes on the node; nothing if the node or the instance has no name.

    Args:
        flags: of the command.
        notices: takes messages for people.
        emit: takes the events about what was written.
        environment: of the process.
        is_warm: the node was found to have all images.

    Raises:
        UsageError: a flag is invalid.
    """
    check_prefix(flags.node_label_prefix)
    if not environment.node_name:
        notices.info("node labeling disabled: NODE_NAME is not set")
        return []
    if not environment.instance_name:
        notices.add("node labeling disabled: INSTANCE_NAME is not set")
        return []
    api = NodeApi(
        environment.node_name,
        connect=partial(
            connect, flags.kubeconfig, as_node=flags.node_access == "impersonate", environment=environment.variables
        ),
        warn=notices.add,
    )
    return [NodeLabel(api, environment.instance_name, prefix=flags.node_label_prefix, emit=emit, is_warm=is_warm)]
