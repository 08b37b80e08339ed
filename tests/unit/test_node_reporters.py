"""Which reporters write on the node."""

import pytest

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.node_reporters import node_reporters
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.events import Notice


def _reporters(node: str, instance: str, **flags: bool) -> tuple[list[str], list[tuple[str, bool]]]:
    notices, heard = Notices(), []
    environment = Environment(node_name=node, instance_name=instance)
    made = node_reporters(FetchFlags(**flags), notices, Emitter(), environment, is_warm=False)
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
    ],
    ids=str,
)
def test_the_condition_comes_before_the_label_and_events_are_last(flags, names):
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
