"""All credential plugins as one source, in which a slow or broken plugin does not block the others."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from nodeprefetch.credentials.lookup import ChainLookup, PluginSource, Verdicts
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.values.image_ref import ImageRef


class CredentialChain:
    """A `CredentialSource`; create it with `open_chain`."""

    def __init__(self, sources: Sequence[PluginSource], nursery: trio.Nursery) -> None:
        self.sources = tuple(sources)
        self.verdicts: Verdicts = {}
        self._nursery = nursery

    @contextmanager
    def look_up(self, image: ImageRef) -> Iterator[ChainLookup]:
        """Ask all sources concurrently. Leaving the block stops waiting for them."""
        lookup = ChainLookup(image, self.sources, self.verdicts)
        for number in range(len(self.sources)):
            self._nursery.start_soon(lookup.search, number)
        try:
            yield lookup
        finally:
            lookup.abandon()


@asynccontextmanager
async def open_chain(plugins: Sequence[Plugin], warn: Callable[[str], None]) -> AsyncIterator[CredentialChain]:
    """Open the configured plugins as one source. Leaving the block cancels calls of providers that still run.

    Args:
        plugins: in the order of use.
        warn: called with each failure of a provider.
    """
    async with trio.open_nursery() as nursery:
        configured = [plugin for plugin in plugins if plugin.providers]
        yield CredentialChain([PluginSource(plugin, nursery, warn) for plugin in configured], nursery)
        nursery.cancel_scope.cancel()
