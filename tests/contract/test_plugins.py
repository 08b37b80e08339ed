"""Our own plugins, and the example, keep the contract of credential plugins."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from nodeprefetch_pull_secrets import make_provider

from nodeprefetch.testing import CredentialProviderContract

ROOT = Path(__file__).parents[2]


class TestPullSecrets(CredentialProviderContract):
    factory = make_provider
    known_image = "known.test/team/app"
    unknown_image = "unknown.test/app"
    secrets = ("s3cr3t-of-a-team", "s3cr3t-of-all", "t0ken-of-the-old")

    def options(self, directory):
        auths = {
            "known.test": {"auth": "YWxsOnMzY3IzdC1vZi1hbGw="},
            "known.test/team": {"username": "team", "password": "s3cr3t-of-a-team"},
            "broken.test": {"auth": "s3cr3t-of-all"},
        }
        (directory / ".dockerconfigjson").write_text(json.dumps({"auths": auths}))
        (directory / "old").mkdir(exist_ok=True)
        (directory / "old" / ".dockercfg").write_text('{"known.test": {"identitytoken": "t0ken-of-the-old"}}')
        return {"config": [str(directory), str(directory / ".dockerconfigjson")]}


def test_the_example_passes_its_own_tests_without_ours(tmp_path: Path) -> None:
    """By pytest alone: none of our settings, none of our plugins of pytest."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'temp'}"],
        cwd=ROOT / "plugins" / "example",
        env={**ours, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert re.search(r"\b\d\d passed", ended.stdout)
