"""The parts of a run that only some flags ask for. Their modules are loaded only then: `fetch` must start fast."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.node_access import connect_for
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.kube import Node
from nodeprefetch.report.readers import Deliverer
from nodeprefetch.values.image_ref import ImageRef

if TYPE_CHECKING:
    from nodeprefetch.cli.for_pods import PreparedPods
    from nodeprefetch.cli.gate import PreparedGate
    from nodeprefetch.cli.start import PreparedStart


def gate(
    flags: FetchFlags,
    images: tuple[ImageRef, ...],
    read: Callable[[str], bytes],
    notices: Notices,
    emit: Emitter,
    *,
    problems: Problems,
) -> "PreparedGate | None":
    """Decides when the node takes pods. See `prepare_gate`."""
    if not flags.has_gate:
        if flags.gate_needs is not None:
            raise UsageError(["--gate-needs requires --remove-taint or --node-condition"])
        return None
    from nodeprefetch.cli.gate import prepare_gate  # noqa: PLC0415

    return prepare_gate(flags, images, read=read, notices=notices, emit=emit, problems=problems)


def start(
    flags: FetchFlags,
    images: tuple[ImageRef, ...],
    notices: Notices,
    emit: Emitter,
    environment: Environment,
    *,
    on_node: Callable[[Node], None],
    gate: "PreparedGate | None",
) -> "PreparedStart | None":
    """What the first pull waits for. See `prepare_start`."""
    if not flags.delays_start:
        return None
    from nodeprefetch.cli.start import prepare_start  # noqa: PLC0415

    return prepare_start(
        flags,
        environment,
        images,
        connect=connect_for(flags, environment),
        notices=notices,
        emit=emit,
        on_node=on_node,
        gate=gate,
    )


def submitter(flags: FetchFlags, notices: Notices, environment: Environment) -> Sequence[Deliverer]:
    """Sends events to an aggregator."""
    if not flags.metrics_endpoint:
        return []
    from nodeprefetch.submit.submitter import Submitter  # noqa: PLC0415

    return [
        Submitter(
            flags.metrics_endpoint,
            warn=notices.add,
            node=environment.reporting_node,
            instance=environment.instance_name,
            protocol=flags.metrics_protocol,
            ca_file=flags.metrics_ca_file,
            token_file=flags.metrics_token_file,
        )
    ]


def pods(
    flags: FetchFlags,
    for_pods: str | None,
    environment: Environment,
    *,
    images: tuple[ImageRef, ...],
    notices: Notices,
    emit: Emitter,
    on_node: Callable[[Node], None],
) -> "PreparedPods | None":
    """The pods for which the node pulls. See `prepare_pods`."""
    if for_pods is None:
        return None
    from nodeprefetch.cli.for_pods import prepare_pods  # noqa: PLC0415

    return prepare_pods(flags, for_pods, environment, images=images, notices=notices, emit=emit, on_node=on_node)
