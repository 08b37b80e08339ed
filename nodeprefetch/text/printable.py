"""Escapes characters in foreign text that could move the cursor, reverse the line or end it."""

import json


def printable(text: str) -> str:
    r"""Escape unprintable characters, as `\x1b` or `\u202e`.

    These are the ones of `str.isprintable`: control and formatting characters (also those that change the direction
    of writing), separators except the space, surrogates, and code points that Unicode has not assigned.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def json_text(value: object, *, indent: int | None = None) -> str:
    """Format a value as JSON, with the same characters escaped: a parser restores them.

    Args:
        value: dicts, sequences, texts, numbers, booleans and None.
        indent: spaces per level; None: all on one line.
    """
    separators = (",", ":") if indent is None else None
    document = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    if document.isprintable():
        return document
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in document)
