"""Manifests as text: YAML that parsers of 1.1 and 1.2 read alike (all but plain words is quoted), or a List as JSON.

Covers what manifests need: mappings with texts as keys, lists, texts, whole numbers, true, false and null.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from deploy_gen.objects import Object

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
"""Begins with a letter, so it is no number, no time and no merge key in either version of YAML."""

_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that are no text in one of the versions, in any case of their letters."""

_BLOCK = re.compile(r"(?:(?:[!-~](?:[ -~]*[!-~])?)?\n)*[!-~](?:[ -~]*[!-~])?\n")
"""Lines of printable ASCII that neither begin nor end with a blank, the last of them not empty: safe as they are."""

_KEY_LIMIT = 1024
"""Characters that a parser looks ahead for the `:` behind a key."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def to_yaml(value: object) -> str:
    """A document, without the `---` before it.

    Raises:
        TypeError: a value of another type.
        ValueError: a key longer than YAML allows; keys of Kubernetes have less than 400 characters.
    """
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: object) -> Iterator[str]:
    match value:
        case Mapping() if value:
            for key, member in value.items():
                yield from _attached(f"{_key(key)}:", member, indent="  ")
        case list() | tuple() if value:
            for member in value:
                yield from _item(member)
        case _:
            yield _scalar(value)


def _attached(head: str, member: object, *, indent: str) -> Iterator[str]:
    """What comes behind a key: on its line, or on the lines below."""
    if isinstance(member, str) and "\n" in member and _BLOCK.fullmatch(member):
        yield f"{head} |"
        yield from (f"{indent}{line}" if line else "" for line in member.split("\n")[:-1])
    elif isinstance(member, Mapping | list | tuple) and member:
        yield head
        inner = "" if isinstance(member, Sequence) else indent
        yield from (f"{inner}{line}" if line else "" for line in _lines(member))
    else:
        yield f"{head} {_scalar(member)}"


def _item(member: object) -> Iterator[str]:
    if isinstance(member, str):
        yield f"- {_text(member)}"
        return
    first = True
    for line in _lines(member):
        yield ("- " if first else "  ") + line if line else ""
        first = False


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _text(value)
        case Mapping():
            return "{}"
        case list() | tuple():
            return "[]"
        case _:
            raise TypeError(f"no YAML for a {type(value).__name__}")


def _key(text: object) -> str:
    key = _text(text)
    if len(key) > _KEY_LIMIT:
        raise ValueError(f"no YAML for a key of {len(key)} characters")
    return key


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"no YAML for a {type(text).__name__} as a text")
    if _WORD.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character <= "~":
        return character
    if code <= 0xFF:  # noqa: PLR2004 - what two digits can say
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def render(objects: Sequence[Object], output: str, arguments: Sequence[str]) -> str:
    """The text.

    Args:
        objects: in the order in which they are to be made.
        output: `yaml` or `json`.
        arguments: what was asked for; YAML begins with them, so that a file tells how to make it again.
    """
    if output == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=2) + "\n"
    command = shlex.join(["nodeprefetch-deploy", *arguments])
    # A comment ends where the line does: nothing but printable ASCII may come into it.
    header = "# " + "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in command) + "\n"
    return header + "".join("---\n" + to_yaml(one) for one in objects)
