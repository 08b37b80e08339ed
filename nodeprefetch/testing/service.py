"""A fake container runtime with scripted pulls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
import trio

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.runtime.api import ImageFilesystem, ImageRecord, RuntimeVersion
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.values.image_ref import ImageRef


@dataclass(frozen=True, slots=True)
class Hang:
    """A pull that takes `seconds`, and then ends with `then`."""

    seconds: float = float("inf")
    then: "str | RuntimeFaultError" = "sha256:" + "0" * 64


HANG = Hang()
"""A pull that never ends."""

Step = str | RuntimeFaultError | Hang
"""What one PullImage call does: pull the image with that ID, fail, or take long."""


class CallEnd(StrEnum):
    """How a PullImage call ended."""

    PULLED = "pulled"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(kw_only=True, slots=True)
class PullCall:
    """One PullImage call."""

    image: str
    auth: AuthConfig | None
    at: float
    """Time of the call, on Trio's clock."""

    lease: str = ""
    """ID of the lease for the downloaded data."""

    end: CallEnd | None = None


@dataclass(kw_only=True)
class FakeImageService:
    """An `ImageService` without a runtime. It passes the same contract tests as containerd.

    Args:
        pulls: for each image the steps of its PullImage calls; the last step is repeated. Names are compared as the
            runtime normalizes them. Other images are not found in their registry.
        images: the images on the node.
        name: name of the runtime.
        release: version of the runtime.
    """

    pulls: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    images: Iterable[ImageRecord] = ()
    name: str = "fake"
    release: str = "0"

    calls: list[PullCall] = field(default_factory=list, init=False)
    asked: list[str] = field(default_factory=list, init=False)
    """Names of the methods called, in order."""

    gone: RuntimeFaultError | None = None
    """While set, every call fails with it, also those that were active when `go_away` set it."""

    def __post_init__(self) -> None:
        self._held = list(self.images)
        self._steps = {ImageRef.parse(name).pull_ref: list(steps) for name, steps in self.pulls.items()}
        self._under_way: set[trio.CancelScope] = set()

    @property
    def call_times(self) -> list[float]:
        """Times of all PullImage calls."""
        return [call.at for call in self.calls]

    def go_away(self) -> None:
        """Let every call fail from now on, also active ones."""
        self.gone = RuntimeFaultError.gone("the runtime is gone")
        for scope in self._under_way:
            scope.cancel()

    def come_back(self) -> None:
        """Become available again."""
        self.gone = None

    async def version(self) -> RuntimeVersion:
        """Return name and version."""
        await self._enter("version")
        return RuntimeVersion(name=self.name, version=self.release)

    async def list_images(self) -> Sequence[ImageRecord]:
        """List all images."""
        await self._enter("list_images")
        return tuple(self._held)

    async def image_status(self, image: str) -> ImageRecord | None:
        """Return the image with that name or ID."""
        await self._enter("image_status")
        return self._find(image)

    async def remove_image(self, image: str) -> None:
        """Remove an image with all its names."""
        await self._enter("remove_image")
        record = self._find(image)
        if record is not None:
            self._held.remove(record)

    async def image_fs_info(self) -> Sequence[ImageFilesystem]:
        """Return one file system."""
        await self._enter("image_fs_info")
        return (ImageFilesystem(mountpoint="/var/lib/fake"),)

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:
        """Do the next step of the script."""
        call = PullCall(image=image, auth=auth, at=trio.current_time(), lease=lease)
        self.calls.append(call)
        try:
            await self._enter("pull_image")
            image_id = await self._pull(image)
        except RuntimeFaultError:
            call.end = CallEnd.FAILED
            raise
        except trio.Cancelled:
            call.end = CallEnd.CANCELLED
            raise
        call.end = CallEnd.PULLED
        return image_id

    async def _enter(self, method: str) -> None:
        self.asked.append(method)
        await trio.lowlevel.checkpoint()
        if self.gone is not None:
            raise self.gone

    async def _pull(self, image: str) -> str:
        try:
            ref = ImageRef.parse(image)
        except ValueError as error:
            raise RuntimeFaultError.from_status(
                "UNKNOWN", f'failed to parse image reference "{image}": invalid reference format', image=image
            ) from error
        steps = self._steps.get(ref.pull_ref)
        if not steps:
            raise RuntimeFaultError.from_status(
                "NOT_FOUND",
                f'failed to pull and unpack image "{ref.pull_ref}": failed to resolve reference "{ref.pull_ref}": '
                f"{ref.pull_ref}: not found",
                image=image,
            )
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Hang):
            with trio.CancelScope() as scope:
                self._under_way.add(scope)
                try:
                    await trio.sleep(step.seconds)
                finally:
                    self._under_way.discard(scope)
            if scope.cancelled_caught and self.gone is not None:
                raise self.gone
            step = step.then
        if isinstance(step, RuntimeFaultError):
            raise step
        self._hold(ref, step)
        return step

    def _hold(self, ref: ImageRef, image_id: str) -> None:
        """Add a name of an image. A tag moves to it from any other image."""
        tag = None if ref.digest else ref.pull_ref
        digest = ref.pull_ref if ref.digest else f"{ref.lookup_name}@{image_id}"
        new = ImageRecord(id=image_id, size=1000)
        others = []
        for record in self._held:
            if record.id == image_id:
                new = record
            elif tag in record.repo_tags:
                tags = tuple(name for name in record.repo_tags if name != tag)
                others.append(msgspec.structs.replace(record, repo_tags=tags))
            else:
                others.append(record)
        tags = (*new.repo_tags, tag) if tag and tag not in new.repo_tags else new.repo_tags
        digests = new.repo_digests if digest in new.repo_digests else (*new.repo_digests, digest)
        self._held = [*others, msgspec.structs.replace(new, repo_tags=tags, repo_digests=digests)]

    def _find(self, image: str) -> ImageRecord | None:
        try:
            name = ImageRef.parse(image).pull_ref
        except ValueError:
            name = image
        for record in self._held:
            if name in {*record.repo_tags, *record.repo_digests} or image == record.id:
                return record
        return None
