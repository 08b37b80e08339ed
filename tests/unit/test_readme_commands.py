"""README.md holds what the tests on a real cluster type."""

import pytest

from tests.e2e.readme import commands, section, steps


def test_the_commands_of_six_steps_are_found():
    assert [1, 2, 3, 4, 5, 6] == sorted(steps())
    assert all(steps().values())


def test_a_section_ends_at_the_next_heading_and_holds_shell_blocks_alone():
    text = "\n## One\n```sh\na\n```\nwords\n```yaml\nb: 1\n```\n```sh\nc\n```\n## Two\n```sh\nd\n```\n"

    assert "a\nc\n" == commands(section("One", text))


def test_a_section_that_is_not_there_is_an_error():
    with pytest.raises(LookupError, match="no section 'Seven steps'"):
        section("Seven steps")
