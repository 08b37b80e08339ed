"""What tests of `keep` do to a node, and ask of it."""

from collections.abc import Callable
from pathlib import Path

from nodeprefetch.testing.images import Image, make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.node import image_ids
from tests.integration.program import Line, Program
from tests.support.containerd import Containerd
from tests.support.patience import eventually

Keep = Callable[..., Program]
"""The fixture `keep`: `keep(containerd, *images, how={…}, **options)`."""


def finished(number: int) -> Callable[[list[Line]], bool]:
    """Whether that many runs have found or brought everything."""
    return lambda log: sum(line["msg"] == "run finished" and not line["failed"] for line in log) >= number


def children(pid: int) -> list[int]:
    """Process IDs."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in listed.split()]


def serve(registry: FakeRegistry, containerd: Containerd, name: str, *sizes: int, seed: str = "") -> tuple[str, Image]:
    image = make_image(sizes or (2048,), seed=f"keep {name} {seed} {containerd.version}")
    return registry.add(name, image), image


def wait_for_images(containerd: Containerd, images: dict[str, Image]) -> None:
    """Block until the node holds exactly these of their names."""
    expected = {name: image.id for name, image in images.items()}
    assert eventually(lambda: image_ids(containerd, images) == expected)


def requests_for_images(registry: FakeRegistry, since: int = 0) -> list[tuple[str, str, str]]:
    """Method, stage and repository of each request, except for those that belong to no image."""
    requests = registry.requests.all()[since:]
    return [(each.method, each.stage, each.repository) for each in requests if each.repository]


def remove(containerd: Containerd, name: str) -> None:
    """Remove an image as `ctr images rm` does, by the three names that CRI gives it."""
    image_id = image_ids(containerd, [name])[name]
    repository = name.rpartition(":")[0]
    names = containerd.ctr("images", "ls", "--quiet").split()
    containerd.ctr("images", "rm", "--sync", *[one for one in names if one.startswith(repository) or one == image_id])
