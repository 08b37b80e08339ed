"""`discover --resolve` with a real registry."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from tests.support.docker_registry import DockerRegistry

pytestmark = pytest.mark.registry


def test_a_tag_gets_the_digest_that_was_pushed(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    image = make_image(seed="discover")
    name = docker_registry.push("team/discovered:1", image)
    manifest = tmp_path / "pod.json"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"image": name}]}}
    manifest.write_text(json.dumps(pod))

    command = [sys.executable, "-m", "nodeprefetch", "discover", "--resolve", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (0, f"{name}@{image.digest}  # 1x in Pod/web\n", "") == (done.returncode, done.stdout, done.stderr)
