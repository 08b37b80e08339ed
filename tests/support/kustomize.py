"""Runs the kustomize that is part of kubectl. Where it is not compiled, tests are skipped."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster_programs import programs_directory


class KustomizeError(Exception):
    """It ended with another status than 0; the text is what it wrote."""


def build(directory: Path) -> list[dict[str, Any]]:
    """Build a directory.

    Raises:
        KustomizeError: it cannot.
    """
    program = programs_directory() / "kubectl"
    if not program.exists():
        if os.environ.get("NODEPREFETCH_REQUIRE_CLUSTER") == "1":
            pytest.fail("NODEPREFETCH_REQUIRE_CLUSTER is set, but: missing kubectl (run dev/cluster build)")
        pytest.skip("missing kubectl (run dev/cluster build)")
    done = subprocess.run([program, "kustomize", directory], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:  # it warns of what is deprecated
        raise KustomizeError(done.stderr)
    return list(yaml.safe_load_all(done.stdout))


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """Write files. Returns the directory."""
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
    return directory
