"""All sources of credentials as one: plugins in their order, and no slow or broken one in the way of a good one."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from nodeprefetch.credentials.lookup import ChainLookup, PluginSource, Verdicts
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.values.image_ref import ImageRef


class CredentialChain:
    """A `CredentialSource`. Made by `open_chain`."""

    def __init__(self, sources: Sequence[PluginSource], nursery: trio.Nursery) -> None:
        self.sources = tuple(sources)
        self.verdicts = Verdicts()
        self._nursery = nursery

    @contextmanager
    def look_up(self, image: ImageRef) -> Iterator[ChainLookup]:
        """Ask all sources side by side. Leaving the block waits for none of them any more."""
        lookup = ChainLookup(image, self.sources, self.verdicts)
        for number in range(len(self.sources)):
            self._nursery.start_soon(lookup.search, number)
        try:
            yield lookup
        finally:
            lookup.abandon()


@asynccontextmanager
async def open_chain(plugins: Sequence[Plugin], warn: Callable[[str], None]) -> AsyncIterator[CredentialChain]:
    """The configured plugins as one source. Leaving the block cancels what providers are still doing.

    Args:
        plugins: in the order of use.
        warn: is told which provider failed, and how.
    """
    async with trio.open_nursery() as nursery:
        configured = [plugin for plugin in plugins if plugin.providers]
        yield CredentialChain([PluginSource(plugin, nursery, warn) for plugin in configured], nursery)
        nursery.cancel_scope.cancel()
