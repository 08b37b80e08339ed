"""Which reporters write on the node."""

import pytest

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.node_reporters import node_reporters
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.events import Notice


def _reporters(node: str, instance: str) -> tuple[list[str], list[tuple[str, bool]]]:
    notices, heard = Notices(), []
    environment = Environment(node_name=node, instance_name=instance)
    made = node_reporters(FetchFlags(), notices, Emitter(), environment, is_warm=False)
    notices.pass_to(heard.append)
    return [type(each).__name__ for each in made], [
        (each.message, each.is_warning) for each in heard if isinstance(each, Notice)
    ]


def test_a_node_with_a_name_is_labelled():
    assert (["NodeLabel"], []) == _reporters("n1", "web")


@pytest.mark.parametrize(
    ("node", "instance", "unset", "is_warning"),
    [("", "web", "NODE_NAME", False), ("n1", "", "INSTANCE_NAME", True), ("", "", "NODE_NAME", False)],
)
def test_without_a_name_nothing_is_written_and_one_line_says_so(node, instance, unset, is_warning):
    assert ([], [(f"node labeling disabled: {unset} is not set", is_warning)]) == _reporters(node, instance)
