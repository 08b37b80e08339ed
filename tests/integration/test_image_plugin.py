"""Anyone's plugin in an image of their own: what docs/image.md says, done."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch import __version__
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.image import ROOT, Unpacked, archive, run, run_container, unpack
from tests.support.containerd import Containerd

pytestmark = [pytest.mark.image, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """Built with the Dockerfile of the documentation, from plugins/example."""
    base = archive()
    directory = tmp_path_factory.mktemp("plugin")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE_"))}
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--target", directory / "plugins", ROOT / "plugins" / "example"),
        ],
        env=settings,
        check=True,
    )
    dockerfile = next(_dockerfiles()).replace(
        f"ghcr.io/nodeprefetch/nodeprefetch:v{__version__}", f"oci-archive:{base}"
    )
    (directory / "Dockerfile").write_text(dockerfile)
    storage = ["--storage-driver", "vfs", "--root", directory / "storage", "--runroot", directory / "run"]
    run("buildah", *map(str, storage), "bud", "--quiet", "--isolation", "chroot", "--tag", "with-netrc", str(directory))
    run(
        "buildah", *map(str, storage), "push", "--quiet", "with-netrc", f"oci-archive:{directory}/with-netrc.tar:latest"
    )
    run("buildah", *map(str, storage), "rmi", "--all", "--force")
    return unpack(directory / "with-netrc.tar", directory / "unpacked")


def _dockerfiles() -> Iterator[str]:
    text = (ROOT / "docs" / "image.md").read_text()
    return (match[1] for match in re.finditer(r"```dockerfile\n(.*?)```", text, re.DOTALL))


def test_two_lines_are_enough() -> None:
    lines = next(_dockerfiles()).splitlines()

    assert ["FROM", "COPY"] == [line.split()[0] for line in lines]


def test_the_plugin_is_found(image: Unpacked) -> None:
    ended = run_container(image, "plugins")

    (line,) = (line for line in ended.stdout.splitlines() if "netrc" in line.split())
    assert {"nodeprefetch-netrc", "1.0.0"} <= set(line.split())
    assert (0, "") == (ended.code, ended.stderr)


def test_its_credentials_let_in(
    image: Unpacked, containerd: Containerd, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    fake_registry.require_basic({"ann": "pa55word-of-ann"})
    name = fake_registry.add("private/app:1", make_image(seed=f"image {fake_registry.address}"))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password pa55word-of-ann\n")

    ended = run_container(
        image,
        *("fetch", "--cri-socket=/cri.sock", "--log-format=json", "--credential-option=netrc.file=/netrc", name),
        user=0,
        mounts={"/cri.sock": containerd.socket, "/netrc": netrc},
    )

    assert {name: "succeeded"} == ended.outcomes, ended.stderr
