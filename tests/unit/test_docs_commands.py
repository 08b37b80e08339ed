"""Command lines of the documentation: ours are taken by the parser they are for, and every flag named exists."""

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simulate

from deploy_gen.arguments import new_parser, parse_arguments
from deploy_gen.parse import read_options
from nodeprefetch.cli.aggregate_flags import AggregateFlags, aggregator_settings
from nodeprefetch.cli.commands import app
from nodeprefetch.cli.flag_settings import fetch_settings
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.wait import WaitFlags, read_goal
from tests.unit.docs_pages import PAGES, ROOT, blocks, tokens

OURS = ("nodeprefetch", "nodeprefetch-deploy")
END_OF_COMMAND = re.compile(r"[|&;<>()]+")
BEFORE_A_COMMAND = re.compile(rf"{END_OF_COMMAND.pattern}|kubectl")

OTHERS = frozenset(
    {
        *("--as", "--attach-acr", "--check", "--docker", "--docker-server", "--enable-worker", "--install-completion"),
        *("--for", "--label-columns", "--links", "--max-node-startup-time", "--netrc-file", "--no-deps"),
        *("--node-init-taints", "--node-taints", "--previous", "--server-side", "--startup-taint", "--subresource"),
        *("--switch", "--timeout", "--watch"),
        *("--container", "--from-file", "--raw", "--selector"),  # kubectl
        *("--set-file", "--wait"),  # helm
        *("--fetch-metrics", "--image-cache-refresh-frequency"),  # what docs/migrating/ is about
        *("--image-pull-deadline-duration", "--image-pull-policy", "--service-account-name"),
        *("--force-conflicts", "--reuse-values", "--set", "--set-file", "--wait"),  # Helm
    }
)
"""Flags of other programs that the pages name."""

OF_OTHER_TOOLS = {"CONTRIBUTING.md", "cluster.md", "image.md", "performance.md", "releasing.md"}
"""Pages that are about other programs' flags, or those of scripts in dev/, more than about ours."""


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line of ours; what stands for something left out (…) is left out."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:  # no shell: output, a drawing
            continue
        for number, word in enumerate(words):
            if word in OURS and (number == 0 or BEFORE_A_COMMAND.fullmatch(words[number - 1])):
                command = [word]
                for following in words[number + 1 :]:
                    if END_OF_COMMAND.fullmatch(following):
                        break
                    command.append(following)
                yield [word for word in command if word != "…"]


COMMANDS = sorted(
    {
        (str(page.relative_to(ROOT)), tuple(command))
        for page in PAGES
        for block in blocks(page, "sh", "", "console")
        for command in commands(block)
    }
)


def read(command: tuple[str, ...]) -> object:
    """What the command means. Raises where it is not taken."""
    program, *words = command
    if program == "nodeprefetch-deploy":
        return read_options(parse_arguments(words))
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    flags: Any = bound.arguments.get("flags")
    match flags:
        case FetchFlags():
            return fetch_settings(flags)
        case AggregateFlags():
            return aggregator_settings(flags)
        case WaitFlags():
            return read_goal(flags)
        case _:
            return flags


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_command_of_the_pages_is_taken(
    page: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`page` is for whoever reads a failure."""
    for name in ("images.txt", "first.txt"):
        (tmp_path / name).write_text("nginx:1.27\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nginx:1.27\n")))

    read(command)


def test_there_are_commands_of_all_kinds():
    found = {command[:2] if command[0] == "nodeprefetch" else command[:1] for _, command in COMMANDS}

    assert {
        ("nodeprefetch", "fetch"),
        ("nodeprefetch", "explain"),
        ("nodeprefetch", "aggregate"),
        ("nodeprefetch", "plugins"),
        ("nodeprefetch-deploy",),
    } <= found


@pytest.mark.parametrize(
    "command",
    ["nodeprefetch fetch --no-such-flag", "nodeprefetch fetch --overall-timeout soon", "nodeprefetch-deploy a b --x"],
)
def test_a_command_with_a_mistake_is_not_taken(command: str):
    (words,) = commands(command)

    with pytest.raises(Exception, match=r"(?i)unknown|no such flag|duration"):
        read(tuple(words))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodeprefetch fetch a \\\n    b > file 2>&1", [["nodeprefetch", "fetch", "a", "b"]]),
        (
            "echo x | nodeprefetch fetch --image-list-file -  # why",
            [["nodeprefetch", "fetch", "--image-list-file", "-"]],
        ),
        ("nodeprefetch-deploy web … | kubectl apply -f -", [["nodeprefetch-deploy", "web"]]),
        ("pip install nodeprefetch-deploy", []),
        ("kubectl nodeprefetch wait web", [["nodeprefetch", "wait", "web"]]),
        ("nodeprefetch: it's broken", []),
    ],
)
def test_commands_are_found_in_text(text: str, expected: list[list[str]]):
    assert expected == list(commands(text))


def test_every_flag_that_is_named_exists():
    """In code within the text; a longer flag may be named by its beginning and `…`."""
    of_program = {
        name
        for command in app
        if not command.startswith("-")
        for argument in app[command].assemble_argument_collection()
        for name in argument.names
    }
    parsers = (new_parser(), simulate.new_parser())
    of_parsers = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    known = of_program | of_parsers | OTHERS | {"--version", "--help"}
    named = {
        (str(page.relative_to(ROOT)), flag)
        for page in PAGES
        if page.name not in OF_OTHER_TOOLS
        for token in tokens(page)
        if token.type == "code_inline"
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+(?!…)", token.content)
    }

    assert [] == sorted((page, flag) for page, flag in named if flag not in known)
