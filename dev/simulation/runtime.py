"""The container runtime of a simulated node: CRI's image service, with the network of the simulation behind it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Verdict
from nodeprefetch.runtime.api import ImageFilesystem, ImageRecord, RuntimeVersion
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.values.image_ref import ImageRef
from simulation.network import Host
from simulation.scenario import Scenario
from simulation.wire import Wire

VERSION = RuntimeVersion(name="containerd", version="2.4.2")
REGISTRY = "registry.example"
_ID = "sha256:" + 64 * "0"


def image_list(scenario: Scenario) -> tuple[ImageRef, ...]:
    """Return the list that all nodes pull."""
    return tuple(ImageRef.parse(f"{REGISTRY}/image-{number}:1") for number in range(scenario.images))


class SimulatedRuntime:
    """An `ImageService`. Interrupted pulls keep their layers, as with leases.

    Args:
        scenario: has the rate of unpacking.
        wire: brings the images.
        host: the node's place in the network.
        numbers: of the images, by name.
    """

    def __init__(self, scenario: Scenario, wire: Wire, host: Host, numbers: dict[str, int]) -> None:
        self._unpack = scenario.image_size / scenario.unpack_rate if scenario.unpack_rate else 0.0
        self._wire = wire
        self._host = host
        self._numbers = numbers

    async def connect(self, _nursery: trio.Nursery) -> Runtime:
        """As `nodeprefetch.runtime.connect.Connect` does."""
        return Runtime(service=self, version=VERSION, socket="/simulated.sock")

    async def version(self) -> RuntimeVersion:
        """Return containerd's, which downloads layers of all pulls together."""
        return VERSION

    async def list_images(self) -> Sequence[ImageRecord]:
        """Return nothing: the node is new."""
        return ()

    async def image_status(self, image: str) -> ImageRecord | None:  # noqa: ARG002
        """Return nothing: sizes are not of interest."""
        return None

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:  # noqa: ARG002
        """Download and unpack an image.

        Raises:
            RuntimeFaultError: the registry is away, or throttles.
        """
        error = await self._wire.fetch(self._host, self._numbers[image])
        if error:
            text = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {error}'
            raise RuntimeFaultError.from_status("UNKNOWN", text, image=image)
        if self._unpack:
            await trio.sleep(self._unpack)
        return _ID

    async def remove_image(self, image: str) -> None:
        """Do nothing: no image is removed."""

    async def image_fs_info(self) -> Sequence[ImageFilesystem]:
        """Return nothing: disks are not of interest."""
        return ()


class NoCredentials:
    """A `CredentialSource` that has none, and also its `Lookup`: all pulls are anonymous."""

    is_complete = True
    matched: tuple[Credential, ...] = ()

    @contextmanager
    def look_up(self, _image: ImageRef) -> Iterator["NoCredentials"]:
        """Return itself."""
        yield self

    async def next(self) -> None:
        """Return nothing."""

    def is_outdated(self, _credential: Credential) -> bool:
        """Return that it is not."""
        return False

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """Do nothing."""
