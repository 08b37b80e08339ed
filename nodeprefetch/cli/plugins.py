"""The installed credential plugins, for people and programs."""

from collections.abc import Sequence

import msgspec

from nodeprefetch.cli.output import columns
from nodeprefetch.credentials.plugins import Plugin


class ListedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """One installed plugin."""

    name: str
    distribution: str
    version: str
    state: str
    """`configured`, `not configured` or `broken`."""

    why: str
    """Why it is not used; empty when it is."""

    providers: tuple[str, ...]


def listed(plugins: Sequence[Plugin]) -> list[ListedPlugin]:
    """What is listed of each plugin, in the order of use."""
    return [_listed(plugin) for plugin in plugins]


def to_table(plugins: Sequence[ListedPlugin]) -> str:
    """Columns of text."""
    rows = [("NAME", "DISTRIBUTION", "VERSION", "STATE", "WHY / PROVIDERS")]
    rows += [
        (one.name, one.distribution or "?", one.version or "?", one.state, one.why or ", ".join(one.providers))
        for one in plugins
    ]
    return columns(rows)


def _listed(plugin: Plugin) -> ListedPlugin:
    return ListedPlugin(
        name=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        state=plugin.state,
        why=plugin.why,
        providers=tuple(name for name, _ in plugin.providers),
    )
