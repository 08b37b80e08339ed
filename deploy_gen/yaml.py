"""Renders manifests as YAML that parsers of 1.1 and 1.2 read alike (quoting all but words and images), or as JSON.

Supports what manifests need: mappings with texts as keys, lists, texts, whole numbers, true, false and null.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from deploy_gen.objects import Object

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
"""Begins with a letter, so neither version of YAML reads it as a number, a time or a merge key."""

_IMAGE = re.compile(
    r"[A-Za-z][A-Za-z0-9.-]*(?::[0-9]+)?/[a-z0-9._/-]+(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?(?:@sha256:[0-9a-f]{64})?"
)
"""An image of a registry. Dependabot finds images in quotation marks, but then fails to update them."""

_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that one of the versions reads as another type, in any case of their letters."""

_LINE = r"[!-~](?:[ -~]*[!-~])?\n"
_BLOCK = re.compile(rf"\n*{_LINE}(?:\n* *{_LINE})*")
"""Lines of printable ASCII that need no escaping: none ends with a space, the last is not empty, and the first that is
not empty, whose indentation is that of the block, does not begin with a space."""

_KEY_LIMIT = 1024
"""Characters that a parser looks ahead for the `:` after a key."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def to_yaml(value: object) -> str:
    """Render one document, without `---`.

    Raises:
        TypeError: a value has an unsupported type.
        ValueError: a key is longer than YAML allows; keys of Kubernetes have less than 400 characters.
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
    """Render a key with its value, on one line or below it."""
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
            raise TypeError(f"cannot render type {type(value).__name__} as YAML")


def _key(text: object) -> str:
    key = _text(text)
    if len(key) > _KEY_LIMIT:
        raise ValueError(f"cannot render a key of {len(key)} characters as YAML")
    return key


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"cannot render type {type(text).__name__} as a text in YAML")
    if (_WORD.fullmatch(text) and text.lower() not in _RESERVED) or _IMAGE.fullmatch(text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character <= "~":
        return character
    if code <= 0xFF:  # noqa: PLR2004 - two digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def render(objects: Sequence[Object], output: str, arguments: Sequence[str]) -> str:
    """Render all objects.

    Args:
        objects: in the order of their creation.
        output: `yaml` or `json`.
        arguments: those of the command; YAML begins with them, so that a file shows how to generate it again.
    """
    if output == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=2) + "\n"
    return command_comment(arguments) + "".join("---\n" + to_yaml(one) for one in objects)


def command_comment(arguments: Sequence[str]) -> str:
    """Render the command as a comment of one line, which shows how to generate a file again."""
    command = shlex.join(["nodeprefetch-deploy", *arguments])
    # Only printable ASCII, as a line break would end the comment.
    return "# " + "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in command) + "\n"
