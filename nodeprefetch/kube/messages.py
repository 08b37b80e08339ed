"""What servers and connections report, made fit for an error: one bounded line without tokens."""

import re

import msgspec

from nodeprefetch.kube.objects import Refusal

TEXT_LIMIT = 300
"""Characters of a server's message in an error."""

_LONGEST_MESSAGE = 16 << 10  # bytes of a refusal that are looked at


def message_of(body: bytes) -> str:
    """The message of a refusal: that of a `Status` object, otherwise the beginning of the body."""
    try:
        return msgspec.json.decode(body, type=Refusal).message[:_LONGEST_MESSAGE]
    except (ValueError, RecursionError):
        return body[:_LONGEST_MESSAGE].decode(errors="replace")


def seconds_of(text: str) -> float | None:
    """The number of seconds in a `Retry-After`. Its other form, a date, depends on clocks and is ignored."""
    return float(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def one_line(text: str, secrets: tuple[str, ...]) -> str:
    """The text on one line, shortened, without these secrets and whatever else `scrub` masks."""
    from nodeprefetch.text.scrub import scrub  # noqa: PLC0415 - only where something fails

    line = scrub(text, secrets)
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1] + "…"
