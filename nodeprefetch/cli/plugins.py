"""Formats the list of installed credential plugins for `nodeprefetch plugins`."""

from collections.abc import Sequence

import msgspec

from nodeprefetch.cli.output import columns
from nodeprefetch.credentials.plugins import Plugin


class ListedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin in the JSON output."""

    name: str
    distribution: str
    version: str
    state: str
    """`configured`, `not configured` or `broken`."""

    why: str
    """Why it is not used; empty if it is."""

    providers: tuple[str, ...]


def listed(plugins: Sequence[Plugin]) -> list[ListedPlugin]:
    """Return the entries of the list, in the order of use."""
    return [
        ListedPlugin(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            state=plugin.state,
            why=plugin.why,
            providers=tuple(name for name, _ in plugin.providers),
        )
        for plugin in plugins
    ]


def to_table(plugins: Sequence[ListedPlugin]) -> str:
    """Format the list as columns of text."""
    rows = [("NAME", "DISTRIBUTION", "VERSION", "STATE", "WHY / PROVIDERS")]
    rows += [
        (one.name, one.distribution or "?", one.version or "?", one.state, one.why or ", ".join(one.providers))
        for one in plugins
    ]
    return columns(rows)
