"""Loads the installed credential plugins with their options. A broken plugin is skipped with a warning."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from nodeprefetch.credentials.api import (
    ENTRY_POINT_GROUP,
    AnyProvider,
    NotConfigured,
    PluginContext,
    ProviderFactory,
    is_local,
)
from nodeprefetch.errors import Problems, UsageError

LAST_BY_DEFAULT = "pull-secrets"
"""Plugins come first: their credentials are for this node, while a pull secret may be old and from anywhere."""

OUR_DISTRIBUTION = "nodeprefetch"

PluginOptions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Values by plugin and key, in the order given."""


class PluginState(StrEnum):
    """The state of an installed plugin."""

    CONFIGURED = "configured"
    NOT_CONFIGURED = "not configured"
    BROKEN = "broken"


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin."""

    name: str
    state: PluginState
    why: str = ""
    """Why it is not used; empty if it is."""

    providers: tuple[tuple[str, AnyProvider], ...] = ()
    """Pairs of name and provider, in the plugin's order."""

    entry_point: EntryPoint | None = None

    @property
    def distribution(self) -> str:
        """The distribution that contains it; empty if unknown. Read on demand: it takes a millisecond."""
        return _metadata(self.entry_point, "Name")

    @property
    def version(self) -> str:
        """The version of the distribution; empty if unknown."""
        return _metadata(self.entry_point, "Version")


def load_plugins(
    options: PluginOptions,
    *,
    environment: Mapping[str, str],
    warn: Callable[[str], None],
    order: Sequence[str] = (),
    found: Iterable[EntryPoint] | None = None,
) -> tuple[Plugin, ...]:
    """Load all installed plugins, and return them in the order of use.

    Args:
        options: the options of each plugin.
        environment: the environment of the process.
        warn: called with what does not end the run: broken plugins, and the plugins' own warnings.
        order: names of plugins that come first; the others follow by name, pull secrets last.
        found: used instead of the installed entry points.

    Raises:
        UsageError: options or an order for plugins that are not installed; options and files that plugins reject.
    """
    by_name: dict[str, list[EntryPoint]] = {}
    for one in entry_points(group=ENTRY_POINT_GROUP) if found is None else found:
        by_name.setdefault(one.name, []).append(one)
    names = sorted(by_name)
    problems = Problems()
    installed = ", ".join(names) or "none"
    for name in options:
        if name not in names:
            problems.add(f"--credential-option {name}.…: plugin not found (installed: {installed})")
    for name in order:
        if name not in names:
            problems.add(f"--credential-order: plugin {name} not found (installed: {installed})")
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
            owner = _metadata(candidate, "Name") or "another distribution"
            skipped = _plugin(other, PluginState.BROKEN, why=f"{owner} has a plugin of the same name")
            warn(f"credential plugin {name} of {skipped.distribution or '?'} skipped: {skipped.why}")
            made.append(skipped)
    problems.raise_if_any()
    in_order = [*order, *(name for name in names if name not in order and name != LAST_BY_DEFAULT), LAST_BY_DEFAULT]
    return tuple(plugin for name in dict.fromkeys(in_order) for plugin in plugins.get(name, ()))


def only_local(plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Return the plugins with only those of their providers that answer from memory."""
    return tuple(
        msgspec.structs.replace(plugin, providers=tuple(pair for pair in plugin.providers if is_local(pair[1])))
        for plugin in plugins
    )


def _warn_of(warn: Callable[[str], None], name: str, text: str) -> None:
    from nodeprefetch.text.scrub import mask_known  # noqa: PLC0415 - only for a warning

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
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code
        why = f"{type(error).__name__}: {error}" if isinstance(error, ImportError | TypeError) else type(error).__name__
        warn(f"credential plugin {candidate.name} skipped: failed to load ({why})")
        return _plugin(candidate, PluginState.BROKEN, why=why)
    if not providers:
        return _plugin(candidate, PluginState.NOT_CONFIGURED, why="none of its providers can be used")
    return _plugin(candidate, PluginState.CONFIGURED, providers=providers)


def _providers(name: str, made: object) -> tuple[tuple[str, AnyProvider], ...]:
    several = isinstance(made, Sequence)
    all_made: list[Any] = list(made) if isinstance(made, Sequence) else [made]
    for one in all_made:
        if not callable(getattr(one, "get_credentials", None)) or inspect.isclass(one):
            raise TypeError(f"its factory returned {type(one).__name__}, which has no get_credentials")
    return tuple(
        (str(getattr(one, "name", "") or (f"{name}/{number}" if several else name)), one)
        for number, one in enumerate(all_made, start=1)
    )


def _plugin(
    candidate: EntryPoint, state: PluginState, *, why: str = "", providers: tuple[tuple[str, AnyProvider], ...] = ()
) -> Plugin:
    return Plugin(name=candidate.name, state=state, why=why, providers=providers, entry_point=candidate)


def _metadata(entry_point: EntryPoint | None, key: str) -> str:
    """Return a field of the distribution's metadata; empty if it is missing."""
    if entry_point is None or entry_point.dist is None:
        return ""
    metadata = entry_point.dist.metadata
    return metadata[key] if key in metadata else ""  # noqa: SIM401 - its type has no get


def _ours_first(one: EntryPoint) -> tuple[bool, str]:
    """Sort key by which no other distribution can replace a plugin of this program."""
    name = _metadata(one, "Name")
    return name != OUR_DISTRIBUTION, name
