"""Prints what others named as text: nothing in it moves a cursor, turns the line around or ends it."""

import json


def printable(text: str) -> str:
    r"""The text with every character that does not print as `\x1b`, `\u202e` and the like.

    These are those that `str.isprintable` names: control and formatting characters (also those that change the
    direction of writing), separators other than the blank, surrogates, and what Unicode has not assigned.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def json_text(value: object, *, indent: int | None = None) -> str:
    """The value as JSON, in which the same characters stand as escapes: whoever parses it gets them back.

    Args:
        value: of dicts, sequences, texts, numbers, booleans and None.
        indent: blanks for each level; None: all on one line.
    """
    separators = (",", ":") if indent is None else None
    document = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    if document.isprintable():
        return document
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in document)
