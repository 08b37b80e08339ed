"""How the commands for people reach a cluster: the API server, and the aggregator if they are told its address."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nodeprefetch.cluster.arguments import ArgumentParser
from nodeprefetch.errors import NoAccessError
from nodeprefetch.kube import KubeError, UnauthorizedError
from nodeprefetch.kube.reads import KubeReads, connect_reads

if TYPE_CHECKING:
    from nodeprefetch.cluster.direct import DirectAggregator
    from nodeprefetch.submit.destination import Destination


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterAccess:
    """A cluster. Its connections are kept until the block of `open_access` ends."""

    kube: KubeReads
    namespace: str
    """Of the context, or of this pod."""

    parse: ArgumentParser = field(repr=False)
    """Parses the command line of a DaemonSet's container."""

    aggregator: "DirectAggregator | None" = None
    """At the address that was given; None: through the API server."""


@asynccontextmanager
async def open_access(
    *,
    parse: ArgumentParser,
    environment: Mapping[str, str],
    kubeconfig: str | None = None,
    context: str | None = None,
    destination: "Destination | None" = None,
) -> AsyncGenerator[ClusterAccess]:
    """Find the API server, and open connections when they are needed.

    Args:
        parse: parses the command line of a DaemonSet's container.
        environment: the variables.
        kubeconfig: as for `open_reads`.
        context: as for `open_reads`.
        destination: an aggregator; None: through the API server.

    Raises:
        NoAccessError: as from `open_reads`.
    """
    async with (
        open_reads(environment=environment, kubeconfig=kubeconfig, context=context) as kube,
        _direct(destination) as aggregator,
    ):
        yield ClusterAccess(kube=kube, namespace=kube.namespace, parse=parse, aggregator=aggregator)


@asynccontextmanager
async def open_reads(
    *, environment: Mapping[str, str], kubeconfig: str | None = None, context: str | None = None
) -> AsyncGenerator[KubeReads]:
    """Find the API server, and open connections to it when they are needed.

    A `KubeError` that leaves the block becomes a `NoAccessError`.

    Args:
        environment: the variables.
        kubeconfig: a file; None: as kubectl finds it, otherwise the pod's service account.
        context: of the kubeconfig; None: the current one.

    Raises:
        NoAccessError: there is no usable login; in the block: the API server does not answer, or refuses.
    """
    refused: NoAccessError | None = None  # before Python 3.11.4, what is raised in `except*` comes out in a group
    try:
        kube = await connect_reads(kubeconfig, context=context, environment=environment)
        try:
            yield kube
        finally:
            await kube.aclose()
    except* UnauthorizedError as group:
        refused = NoAccessError(_text(group), check="kubectl auth whoami")
        refused.__cause__ = group
    except* KubeError as group:
        refused = NoAccessError(_text(group))
        refused.__cause__ = group
    if refused is not None:
        raise refused


@asynccontextmanager
async def _direct(destination: "Destination | None") -> "AsyncGenerator[DirectAggregator | None]":
    if destination is None:
        yield None
        return
    from nodeprefetch.cluster.direct import open_direct  # noqa: PLC0415 - only with --aggregator

    async with open_direct(destination) as aggregator:
        yield aggregator


def _text(group: BaseExceptionGroup[BaseException]) -> str:
    from nodeprefetch.errors import leaves  # noqa: PLC0415

    return "\n".join(dict.fromkeys(map(str, leaves(group))))
