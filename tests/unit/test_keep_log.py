"""The supervisor's lines look like those of the runs."""

import os
import subprocess
import sys

import pytest

from nodeprefetch.keep import log
from nodeprefetch.report.log import to_json, to_logfmt

FIELDS: dict[str, str | float] = {"error": 'a "b" = c\n\u202e', "delay": 60.0, "path": "/x/images.txt", "word": "ü"}


@pytest.mark.parametrize("at", [0.0, 1_700_000_000.123, 1_700_000_000.9999])
@pytest.mark.parametrize(("style", "theirs"), [("json", to_json), ("logfmt", to_logfmt)])
def test_a_line_is_as_those_of_a_run(at: float, style: str, theirs: object) -> None:
    fields = {name: value for name, value in FIELDS.items() if style == "logfmt" or name != "error"}

    assert theirs(at, ("WARN", "run failed", fields)) == log.line_of(style, at, "WARN", "run failed", fields)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59.6, "1m"), (90, "1m30s"), (300, "5m"), (3600, "1h"), (3661, "1h1m1s")]
)
def test_durations_are_written_as_in_go(seconds: float, text: str) -> None:
    assert text == log.duration(seconds)


def test_a_line_that_nobody_reads_is_dropped() -> None:
    """A pipe takes 64 KiB, this writes 200."""
    reader, writer = os.pipe()
    code = "from nodeprefetch.keep import log\nfor _ in range(200): log.write('json', 'INFO', 'x' * 1000)"
    ended = subprocess.run([sys.executable, "-c", code], stderr=writer, timeout=300, check=False)
    os.close(writer)
    os.close(reader)

    assert 0 == ended.returncode
