"""Loading plugins: the order, and what becomes of broken ones."""

import json
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pytest

from nodeprefetch.cli.output import to_json
from nodeprefetch.cli.plugins import listed, to_table
from nodeprefetch.credentials.api import NotConfigured, PluginContext, ProvidedCredentials, is_local
from nodeprefetch.credentials.plugins import PluginState, load_plugins, only_local
from nodeprefetch.errors import UsageError
from nodeprefetch.text.known_secrets import knowing_secrets, remember_secrets


class Provider:
    def __init__(self, name=""):
        if name:
            self.name = name

    async def get_credentials(self, _image):
        return ProvidedCredentials()


def works(context):
    context.allow_options("file")
    return Provider()


def several(_context):
    return [Provider("x/one"), Provider()]


def not_configured(_context):
    return NotConfigured(why="no file")


def nothing(_context):
    return []


def crashes(_context):
    raise ValueError("hunter2")


def exits(_context):
    sys.exit("hunter2")


def makes_a_class(_context):
    return Provider


def makes_text(_context):
    return "hunter2"


def refuses(context):
    raise UsageError([f"{context.name}: cannot read a", f"{context.name}: cannot read b"])


def warns(context):
    context.warn("take care")
    provider = Provider()
    provider.context = context
    return provider


@pytest.fixture(autouse=True)
def _module(monkeypatch):
    module = ModuleType("plugins_of_this_test")
    for function in (
        works,
        several,
        not_configured,
        nothing,
        crashes,
        exits,
        makes_a_class,
        makes_text,
        refuses,
        warns,
    ):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def load(*plugins, options=None, order=()):
    """The plugins, by name or by (name, function); and what was said."""
    warnings: list[str] = []
    pairs = [(one, one) if isinstance(one, str) else one for one in plugins]
    found = [
        EntryPoint(name=name, value=f"plugins_of_this_test:{function}", group="nodeprefetch.credential_providers")
        for name, function in pairs
    ]
    loaded = load_plugins(options or {}, environment={}, warn=warnings.append, order=order, found=found)
    return loaded, warnings


def test_plugins_come_by_name_and_pull_secrets_last():
    loaded, _ = load(("pull-secrets", "works"), ("zebra", "works"), ("ant", "works"))

    assert ["ant", "zebra", "pull-secrets"] == [plugin.name for plugin in loaded]


def test_an_order_given_comes_first():
    loaded, _ = load(("pull-secrets", "works"), ("zebra", "works"), ("ant", "works"), order=["pull-secrets", "zebra"])

    assert ["pull-secrets", "zebra", "ant"] == [plugin.name for plugin in loaded]


def test_a_plugin_may_have_several_providers():
    (plugin,), _ = load("several")

    assert ["x/one", "several/2"] == [name for name, _ in plugin.providers]


def test_one_provider_has_its_plugins_name():
    (plugin,), _ = load("works")

    assert (PluginState.CONFIGURED, ["works"]) == (plugin.state, [name for name, _ in plugin.providers])


def test_a_plugin_may_say_that_it_is_not_configured():
    (plugin,), warnings = load("not_configured")

    assert (PluginState.NOT_CONFIGURED, "no file", []) == (plugin.state, plugin.why, warnings)


def test_a_plugin_without_usable_providers_is_not_configured():
    (plugin,), _ = load("nothing")

    assert (PluginState.NOT_CONFIGURED, ()) == (plugin.state, plugin.providers)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("crashes", "ValueError"),
        ("exits", "SystemExit"),
        ("makes_a_class", "TypeError: its factory returned type, which has no get_credentials"),
        ("makes_text", "TypeError: its factory returned str, which has no get_credentials"),
        ("no_such_function", "AttributeError"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_go_on(broken, why):
    loaded, warnings = load(broken, "works")

    assert [PluginState.BROKEN, PluginState.CONFIGURED] == [plugin.state for plugin in loaded]
    assert [f"credential plugin {broken} skipped: failed to load ({why})"] == warnings
    assert "hunter2" not in str(loaded)


def test_a_plugin_that_cannot_be_imported_says_what_is_missing():
    found = [EntryPoint(name="gone", value="no_such_module:f", group="nodeprefetch.credential_providers")]
    warnings: list[str] = []

    load_plugins({}, environment={}, warn=warnings.append, found=found)

    assert "No module named 'no_such_module'" in warnings[0]


def test_of_two_plugins_of_one_name_the_second_is_left_out():
    loaded, warnings = load(("same", "works"), ("same", "several"))

    assert [PluginState.CONFIGURED, PluginState.BROKEN] == [plugin.state for plugin in loaded]
    assert 1 == len(warnings)


def test_nobody_takes_the_place_of_a_plugin_that_is_part_of_this_program():
    ours = next(one for one in entry_points(group="nodeprefetch.credential_providers") if one.name == "pull-secrets")
    foreign = EntryPoint(
        name="pull-secrets", value="plugins_of_this_test:works", group="nodeprefetch.credential_providers"
    )

    loaded = load_plugins({}, environment={}, warn=lambda _text: None, found=[foreign, ours])

    assert [("nodeprefetch", PluginState.NOT_CONFIGURED), ("", PluginState.BROKEN)] == [
        (plugin.distribution, plugin.state) for plugin in loaded
    ]


def test_everything_wrong_with_options_order_and_files_is_said_at_once():
    with pytest.raises(UsageError) as caught:
        load("works", "refuses", options={"nobody": {"k": ("v",)}, "works": {"fiel": ("x",)}}, order=["nobody"])

    assert [
        "--credential-option nobody.…: plugin not found (installed: refuses, works)",
        "--credential-order: plugin nobody not found (installed: refuses, works)",
        "refuses: cannot read a",
        "refuses: cannot read b",
        "--credential-option works.fiel: unknown option (known: works.file)",
    ] == list(caught.value.problems)


def test_without_plugins_an_option_says_that_there_are_none():
    with pytest.raises(UsageError, match="installed: none"):
        load(options={"x": {}})


def test_a_plugins_warning_carries_its_name():
    _, warnings = load("warns")

    assert ["warns: take care"] == warnings


def test_a_plugins_warning_shows_no_secret():
    (plugin,), warnings = load("warns")
    with knowing_secrets():
        remember_secrets(["hunter2-of-joe"])
        plugin.providers[0][1].context.warn('my-secret: "quay.io" has hunter2-of-joe')

    assert 'warns: my-secret: "quay.io" has ***' == warnings[-1]


def test_the_last_value_of_an_option_counts_where_one_is_asked_for():
    context = PluginContext(name="x", options={"file": ("a", "b")})

    assert ("b", None) == (context.option("file"), context.option("other"))


def test_local_providers_can_be_had_alone():
    (plugin,), _ = load("several")
    plugin.providers[0][1].is_local = True

    (local,) = only_local([plugin])

    assert ["x/one"] == [name for name, _ in local.providers]


def test_they_are_listed_as_a_table_and_as_json():
    loaded, _ = load("crashes", "several", "not_configured")

    assert [
        "NAME            DISTRIBUTION  VERSION  STATE           WHY / PROVIDERS",
        "crashes         ?             ?        broken          ValueError",
        "not_configured  ?             ?        not configured  no file",
        "several         ?             ?        configured      x/one, several/2",
    ] == to_table(listed(loaded)).splitlines()
    assert ["crashes", "not_configured", "several"] == [one["name"] for one in json.loads(to_json(listed(loaded)))]


def test_what_is_installed_is_found_by_entry_point():
    loaded = load_plugins({}, environment={}, warn=pytest.fail)

    assert {"kubelet", "pull-secrets"} <= {plugin.name for plugin in loaded}
    assert {"nodeprefetch"} == {plugin.distribution for plugin in loaded if plugin.name == "pull-secrets"}


def test_a_provider_that_fails_at_saying_whether_it_is_local_is_not():
    class Moody(Provider):
        @property
        def is_local(self):
            raise RuntimeError

    assert not is_local(Moody())
