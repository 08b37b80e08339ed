"""Which credential plugins are installed, and what they make of their options. A broken one is named and left out."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nodeprefetch.credentials.provider import (
    ENTRY_POINT_GROUP,
    AnyProvider,
    NotConfigured,
    PluginContext,
    ProviderFactory,
    is_local,
)
from nodeprefetch.errors import Problems, UsageError

LAST_BY_DEFAULT = "pull-secrets"
"""Plugins come first: what they know is about this node, while a pull secret may be from anywhere and any time."""

OUR_DISTRIBUTION = "nodeprefetch"

Options = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By plugin, by key: values in the order given."""


class PluginState(StrEnum):
    """What became of an installed plugin."""

    CONFIGURED = "configured"
    NOT_CONFIGURED = "not configured"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """An installed plugin."""

    name: str
    state: PluginState
    why: str = ""
    """Why it is not used."""

    providers: tuple[tuple[str, AnyProvider], ...] = ()
    """Name and provider, in the plugin's order."""

    entry_point: EntryPoint | None = None

    @property
    def distribution(self) -> str:
        """What installed it; empty when that is not known. Read when asked for: it takes a millisecond."""
        return _said_by(self.entry_point, "Name")

    @property
    def version(self) -> str:
        """Of the distribution; empty when that is not known."""
        return _said_by(self.entry_point, "Version")


def load_plugins(
    options: Options,
    *,
    environment: Mapping[str, str],
    warn: Callable[[str], None],
    order: Sequence[str] = (),
    found: Iterable[EntryPoint] | None = None,
) -> tuple[Plugin, ...]:
    """All installed plugins, in the order in which they are used.

    Args:
        options: what they are told.
        environment: of the process.
        warn: is told what people should know and does not end the run: a broken plugin, a plugin's own warnings.
        order: names of plugins that come first; the others follow by name, pull secrets last.
        found: in place of the entry points that are installed.

    Raises:
        UsageError: options or an order for plugins that are not installed; options and files that plugins refuse.
    """
    by_name: dict[str, list[EntryPoint]] = {}
    for one in entry_points(group=ENTRY_POINT_GROUP) if found is None else found:
        by_name.setdefault(one.name, []).append(one)
    names = sorted(by_name)
    problems = Problems()
    installed = ", ".join(names) or "none"
    for name in options:
        if name not in names:
            problems.add(f"--credential-option {name}.…: there is no such plugin; installed: {installed}")
    for name in order:
        if name not in names:
            problems.add(f"--credential-order: there is no plugin {name}; installed: {installed}")
    plugins: dict[str, list[Plugin]] = {}
    for name in names:
        made = plugins.setdefault(name, [])
        candidate, *others = sorted(by_name[name], key=_ours_first) if len(by_name[name]) > 1 else by_name[name]
        with problems.collected():
            context = PluginContext(
                name=name, options=options.get(name, {}), environment=environment, warn=partial(_warn_of, warn, name)
            )
            made.append(_load(candidate, context, warn))
        for other in others:
            left_out = _plugin(
                other,
                PluginState.BROKEN,
                why=f"{_said_by(candidate, 'Name') or 'another distribution'} has a plugin of that name too",
            )
            warn(f"credential plugin {name} of {left_out.distribution or '?'} is left out: {left_out.why}")
            made.append(left_out)
    problems.raise_if_any()
    in_order = [*order, *(name for name in names if name not in order and name != LAST_BY_DEFAULT), LAST_BY_DEFAULT]
    return tuple(plugin for name in dict.fromkeys(in_order) for plugin in plugins.get(name, ()))


def only_local(plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """The plugins with those of their providers that answer from what they hold."""
    return tuple(
        replace(plugin, providers=tuple(pair for pair in plugin.providers if is_local(pair[1]))) for plugin in plugins
    )


def _warn_of(warn: Callable[[str], None], name: str, text: str) -> None:
    from nodeprefetch.text.scrub import mask_known  # noqa: PLC0415 - only where there is something to say

    warn(f"{name}: {mask_known(text)}")


def _load(candidate: EntryPoint, context: PluginContext, warn: Callable[[str], None]) -> Plugin:
    try:
        factory: ProviderFactory = candidate.load()
        made = factory(context)
        if isinstance(made, NotConfigured):
            return _plugin(candidate, PluginState.NOT_CONFIGURED, why=made.why)
        providers = _providers(context.name, made)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - anyone's code
        why = f"{type(error).__name__}: {error}" if isinstance(error, ImportError | TypeError) else type(error).__name__
        warn(f"credential plugin {candidate.name} is left out: it failed to load ({why})")
        return _plugin(candidate, PluginState.BROKEN, why=why)
    if not providers:
        return _plugin(candidate, PluginState.NOT_CONFIGURED, why="none of its providers can be used")
    return _plugin(candidate, PluginState.CONFIGURED, providers=providers)


def _providers(name: str, made: object) -> tuple[tuple[str, AnyProvider], ...]:
    several = isinstance(made, Sequence)
    all_made: list[Any] = list(made) if isinstance(made, Sequence) else [made]
    for one in all_made:
        if not callable(getattr(one, "get_credentials", None)) or inspect.isclass(one):
            raise TypeError(f"its factory made {type(one).__name__}, which has no get_credentials")
    return tuple(
        (str(getattr(one, "name", "") or (f"{name}/{number}" if several else name)), one)
        for number, one in enumerate(all_made, start=1)
    )


def _plugin(
    candidate: EntryPoint, state: PluginState, *, why: str = "", providers: tuple[tuple[str, AnyProvider], ...] = ()
) -> Plugin:
    return Plugin(name=candidate.name, state=state, why=why, providers=providers, entry_point=candidate)


def _said_by(entry_point: EntryPoint | None, key: str) -> str:
    """What the metadata of its distribution say; empty where they do not, or are not there."""
    if entry_point is None or entry_point.dist is None:
        return ""
    metadata = entry_point.dist.metadata
    return metadata[key] if key in metadata else ""  # noqa: SIM401 - its type promises no get


def _ours_first(one: EntryPoint) -> tuple[bool, str]:
    """Nobody's distribution takes the place of a plugin that is part of this program."""
    name = _said_by(one, "Name")
    return name != OUR_DISTRIBUTION, name
