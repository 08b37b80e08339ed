"""docs/troubleshooting.md: every message of ours is found there by its text.

Which messages there are is read from the source: the texts of errors that are made, and those handed to what tells
people. Of a text with values in it, the longest part that is the same each time counts.
"""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"

SOURCES = ("nodeprefetch", "plugins/kubelet", "plugins/pull_secrets", "deploy_gen")
APART = {"testing", "_generated", "tests"}
"""Folders whose messages no user meets."""

TELLING = re.compile(r"_?(?:warn|complain|say|problem|unreadable|Notice|Unavailable|Foreign|Refused|Unfit)|missing")
"""Functions and classes that take a text for people, by their names."""

COLLECTIONS = re.compile(r"problems|warnings|found")
"""What texts for people are added or appended to, by its name."""

ANSWERING = re.compile(r"_why_\w+|\w*_problem|_look_at|_explain|_report|_try|_fault|_stalled|advice|notices")
"""Functions whose answer is a text for people, or goes into one, by their names."""

NAMED = re.compile(r"text|problem|why|message|error|cut|trouble|complaint|because")
"""Variables that a text for people waits in, by their names."""

SHORTEST = 10
"""Characters of a constant part that tells something: what is shorter joins what others say."""


@dataclass(frozen=True)
class Message:
    text: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def messages_in(source: str, where: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        for part in texts_of(node):
            text = plain(part)
            if len(text) >= SHORTEST and " " in text:
                yield Message(text, f"{where}:{getattr(node, 'lineno', 0)}")


def texts_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call() if tells_people(node):
            yield max((part for argument in node.args for part in constant_parts(argument)), key=len, default="")
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if ANSWERING.fullmatch(name):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None and not isinstance(inner.value, ast.Call):
                    yield max(constant_parts(inner.value), key=len, default="")
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if NAMED.fullmatch(name):
            yield max(constant_parts(value), key=len, default="")
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "message":
                    yield max(constant_parts(value), key=len, default="")
        case _:
            pass


def tells_people(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr="add" | "append", value=owner):
            return bool(COLLECTIONS.search(ast.unparse(owner)))
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return bool(TELLING.fullmatch(name)) or (name.endswith("Error") and not hasattr(builtins, name))
        case _:
            return False


def constant_parts(node: ast.expr) -> Iterator[str]:
    """The pieces of a text that are the same each time, wherever an argument holds one."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from constant_parts(part)
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            yield from constant_parts(one)
            yield from constant_parts(other)
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) | ast.Starred(value=element):
            yield from constant_parts(element)
        case _:
            pass


def plain(text: str) -> str:
    """Without what Markdown needs around it: backticks, backslashes, breaks of lines."""
    return " ".join(re.sub(r"[`\\]", "", text).split()).strip(" :;,()")


def messages() -> list[Message]:
    found: dict[str, Message] = {}
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            where = path.relative_to(ROOT)
            if not APART & set(where.parts):
                for message in messages_in(path.read_text("utf-8"), str(where)):
                    found.setdefault(message.text, message)
    return list(found.values())


def test_every_message_is_found_by_its_text():
    page = plain(PAGE.read_text("utf-8"))

    assert [] == [str(message) for message in messages() if message.text not in page]


def test_the_messages_are_those_of_all_parts():
    """A rule that finds nothing in a part would pass for any page."""
    folders = [message.where.split("/")[0] for message in messages()]

    assert {"nodeprefetch": True, "plugins": True, "deploy_gen": True} == {
        "nodeprefetch": folders.count("nodeprefetch") > 100,
        "plugins": folders.count("plugins") > 40,
        "deploy_gen": folders.count("deploy_gen") > 20,
    }


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('raise UsageError([f"{flag}: has to be more than 0"])', "has to be more than 0"),
        ('raise SomeError("what it is about", "and more")', "what it is about"),
        ('return UsageError([f"{one} cannot be read: {two}"])', "cannot be read"),
        ('problems.add(f"{x} is no place for {y} to be")', "is no place for"),
        ('self._problems.add("it is\\n  in a list")', "it is in a list"),
        ('def _why_not(x):\n    if x:\n        return "there is no `x` in it"', "there is no x in it"),
        ('why = f"the node is {much} too small"', "the node is"),
        ('x = {"message": "what is refused"}', "what is refused"),
        ('warn("short", f"the longest part of all {x}")', "the longest part of all"),
    ],
)
def test_a_message_is_read_from_the_source(code: str, text: str):
    assert [text] == [message.text for message in messages_in(code, "here")]


@pytest.mark.parametrize(
    "code", ['raise ValueError("a mistake of ours")', 'names.append("some other text")', 'print("some other text")']
)
def test_what_no_user_meets_is_no_message(code: str):
    assert [] == list(messages_in(code, "here"))
