"""docs/reference.md: what the programs declare."""

from nodeprefetch.cli.commands import app
from tests.golden import reference


def test_the_reference_is_up_to_date():
    """After a change of a flag or its help: `python -m tests.golden.reference`."""
    assert reference.text() == reference.FILE.read_text("utf-8")


def test_the_reference_has_all_commands():
    assert set(reference.COMMANDS) == {name for name in app if not name.startswith("-")} - {"aggregate-metrics"}
