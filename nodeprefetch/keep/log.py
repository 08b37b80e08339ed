"""Writes the supervisor's log lines, as those of runs look: `nodeprefetch.report.log` is too large to load.

A test holds both equal.
"""

from __future__ import annotations

import select
import sys
import time
from _json import encode_basestring, encode_basestring_ascii

INFO, WARNING = "INFO", "WARN"


def write(style: str, level: str, message: str, **fields: str | float) -> None:
    """Write a line to standard error, or drop it if nobody reads there: supervising must not stop.

    Args:
        style: `logfmt` or `json`.
        level: `INFO` or `WARNING`.
        message: what happened.
        fields: a float is a duration in seconds. Empty ones are left out.
    """
    line = line_of(style, time.time(), level, message, {name: value for name, value in fields.items() if value != ""})
    try:
        _, writable, _ = select.select([], [sys.stderr], [], 0)
        if writable:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
    except OSError:
        pass


def line_of(style: str, at: float, level: str, message: str, fields: dict[str, str | float]) -> str:
    """Format a line.

    Args:
        style: `logfmt` or `json`.
        at: Unix seconds.
        level: `INFO` or `WARNING`.
        message: what happened.
        fields: a float is a duration in seconds.
    """
    milliseconds = int(at * 1000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}Z"
    pairs: dict[str, str | float] = {"time": moment, "level": level, "msg": message, **fields}
    if style == "json":
        return "{" + ",".join(f"{_json(name)}:{_json(value)}" for name, value in pairs.items()) + "}"
    return " ".join(f"{name}={_plain(value)}" for name, value in pairs.items())


def duration(seconds: float) -> str:
    """Format a duration as Go does, in whole seconds and without zero parts: `1m30s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return "".join([*parts, f"{rest}s" if rest or not (hours or minutes) else ""])


def _json(value: str | float) -> str:
    if not isinstance(value, str):
        return repr(value)
    return str(encode_basestring(value) if value.isprintable() else encode_basestring_ascii(value))


def _plain(value: str | float) -> str:
    if not isinstance(value, str):
        return duration(value)
    if value and value.isascii() and value.isprintable() and " " not in value and "=" not in value and '"' not in value:
        return value
    return _json(value)
