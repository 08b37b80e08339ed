"""Which reporters write on the node."""

import pytest

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.gate import prepare_gate
from nodeprefetch.cli.node_reporters import node_reporters
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.events import Notice


def _reporters(node: str, instance: str, **flags: object) -> tuple[list[str], list[tuple[str, bool]]]:
    notices, heard = Notices(), []
    environment = Environment(node_name=node, instance_name=instance)
    given = FetchFlags(**flags)
    gate = (
        prepare_gate(given, (), read=pytest.fail, notices=notices, emit=Emitter(), problems=Problems())
        if given.has_gate
        else None
    )
    made = node_reporters(given, notices, Emitter(), environment, is_warm=False, gate=gate)
    notices.pass_to(heard.append)
    return [type(each).__name__ for each in made], [
        (each.message, each.is_warning) for each in heard if isinstance(each, Notice)
    ]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({}, ["NodeLabel", "NodeEvents"]),
        ({"no_events": True}, ["NodeLabel"]),
        ({"node_condition": True}, ["NodeCondition", "NodeLabel", "NodeEvents"]),
        (
            {"node_condition": True, "remove_taint": ("warm",)},
            ["NodeCondition", "NodeLabel", "StartupTaints", "NodeEvents"],
        ),
    ],
    ids=str,
)
def test_condition_label_taint_events_is_the_order(flags, names):
    assert (names, []) == _reporters("n1", "web", **flags)


@pytest.mark.parametrize(
    ("node", "instance", "unset", "is_warning"),
    [("", "web", "NODE_NAME", False), ("n1", "", "INSTANCE_NAME", True), ("", "", "NODE_NAME", False)],
)
def test_without_a_name_nothing_is_written_and_one_line_says_so(node, instance, unset, is_warning):
    assert ([], [(f"node label and events disabled: {unset} is not set", is_warning)]) == _reporters(node, instance)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"no_events": True}, "node label"),
        ({"node_condition": True}, "node condition, label and events"),
    ],
    ids=str,
)
def test_that_line_names_what_was_wanted(flags, what):
    assert ([], [(f"{what} disabled: NODE_NAME is not set", False)]) == _reporters("", "web", **flags)


def test_taints_are_removed_without_a_name_of_the_installation():
    names, said = _reporters("n1", "", remove_taint=("warm",), no_events=True)

    assert (["StartupTaints"], ["node label disabled: INSTANCE_NAME is not set"]) == (names, [text for text, _ in said])


def test_taints_cannot_be_removed_from_a_node_without_a_name():
    with pytest.raises(UsageError, match="--remove-taint requires NODE_NAME"):
        _reporters("", "web", remove_taint=("warm",))
