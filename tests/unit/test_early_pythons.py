"""What behaves otherwise in the first releases of Python 3.11, which Debian 12 has, is not used."""

import ast

import pytest

from tests.unit.docs_pages import ROOT

SOURCES = sorted(
    path for part in ("nodeprefetch", "deploy_gen", "dev", "plugins", "tests") for path in (ROOT / part).rglob("*.py")
)


@pytest.mark.parametrize("source", [path for path in SOURCES if "except*" in path.read_text("utf-8")], ids=str)
def test_nothing_is_raised_inside_an_except_star(source):
    """Before 3.11.4 it comes out in a group, although nothing else failed: https://github.com/python/cpython/issues/103590."""
    raised = [
        node.lineno
        for block in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(block, ast.TryStar)
        for handler in block.handlers
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise)
    ]

    assert [] == raised
