"""How many nodes may pull: the file with the limits of instances."""

from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.tickets.limits import LOOK_EVERY, PullingNodes, parse_limits
from nodeprefetch.errors import UsageError


def test_an_instance_without_a_line_has_the_limit_of_all_others():
    assert {"web": 5, "big data": 0, "*": 20} == parse_limits("# nodes\nweb 5\n\nbig data\t0 # paused\n* 20\n")


def test_a_number_alone_is_for_all():
    assert {"*": 10} == parse_limits("10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web", "line 1: invalid 'web' (expected INSTANCE N or * N)"),
        ("web 1\ndb -1", "line 2: invalid 'db -1' (expected INSTANCE N or * N)"),
        ("web 1.5", "line 1: invalid 'web 1.5' (expected INSTANCE N or * N)"),
        ("web 10000000", "line 1: invalid 'web 10000000' (expected INSTANCE N or * N)"),
        ("web ٣", "line 1: invalid 'web ٣' (expected INSTANCE N or * N)"),
        ("web 1\nweb 1", "line 2: 'web' has a limit already"),
        ("3\n* 4", "line 2: '*' has a limit already"),
    ],
)
def test_what_is_no_limit_is_refused(text, message):
    with pytest.raises(ValueError, match="line") as caught:
        parse_limits(text)

    assert message == str(caught.value)


@given(st.text())
def test_arbitrary_text_is_limits_or_refused(text):
    limits = {}
    with suppress(ValueError):
        limits = parse_limits(text)

    assert all(limit >= 0 for limit in limits.values())


def test_the_file_goes_before_the_flag(tmp_path):
    file = tmp_path / "limits"
    file.write_text("web 5\n")
    limits = PullingNodes(20, file)

    assert [5, 20] == [limits.limit(instance) for instance in ("web", "db")]


def test_without_flag_and_file_there_is_no_limit():
    assert PullingNodes(None, None).limit("web") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file or directory"), (b"x", "line 1: invalid 'x' .*"), (b"\xff", "not UTF-8")],
)
def test_a_file_that_cannot_be_used_at_the_start_is_wrong_usage(tmp_path, content, problem):
    file = tmp_path / "limits"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UsageError, match=f"--pulling-nodes-file '{file}': {problem}"):
        PullingNodes(None, file)


async def test_a_file_that_breaks_leaves_the_last_limits_and_is_logged_once(autojump_clock, tmp_path):
    file = tmp_path / "limits"
    file.write_text("5")
    limits = PullingNodes(None, file)
    said, changes = [], []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.follow, lambda: changes.append(limits.limit("web")), said.append)
        await trio.sleep(1)
        for content in ("5", "x", "x", None, "5", "6 # more", "x"):
            await trio.sleep(LOOK_EVERY)
            file.unlink(missing_ok=True)
            if content is not None:
                file.write_text(content)
        await trio.sleep(LOOK_EVERY)
        nursery.cancel_scope.cancel()

    keeping = f"cannot use '{file}', keeping the previous limits:"
    invalid = f"{keeping} line 1: invalid 'x' (expected INSTANCE N or * N)"
    assert [6] == changes
    assert [
        invalid,
        f"{keeping} No such file or directory",
        "nodes that may pull at the same time: * 6",
        invalid,
    ] == said
    assert 6 == limits.limit("web")
