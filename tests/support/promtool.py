"""Runs Prometheus' own tool. Where it is not installed, tests are skipped."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run it to its end, with a standard input."""
    program = shutil.which("promtool")
    if program is None and os.environ.get("NODEPREFETCH_REQUIRE_SERVICES") == "1":
        pytest.fail("NODEPREFETCH_REQUIRE_SERVICES is set, but: there is no promtool (Debian package: prometheus)")
    if program is None:
        pytest.skip("not installed (Debian package): prometheus, for promtool")
    return subprocess.run([program, *arguments], input=text, capture_output=True, check=False)
