"""`ImageService` over gRPC: a client of the Container Runtime Interface."""

from collections.abc import Sequence

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.rpc import Channel, cri
from nodeprefetch.runtime.api import ImageFilesystem, ImageRecord, RuntimeVersion
from nodeprefetch.runtime.errors import mapped_errors


class CriImageService:
    """Calls a runtime over a channel (`runtime.v1`).

    Args:
        channel: connection to the runtime.
        handler: runtime handler to pull for; empty: the runtime's default.
    """

    def __init__(self, channel: Channel, *, handler: str = "") -> None:
        self._handler = handler
        self._images = cri.ImageServiceStub(channel)
        self._runtime = cri.RuntimeServiceStub(channel)

    async def version(self) -> RuntimeVersion:
        """Return the name and version of the runtime."""
        with mapped_errors():
            reply = await self._runtime.version(cri.VersionRequest())
        return RuntimeVersion(name=reply.runtime_name, version=reply.runtime_version)

    async def list_images(self) -> Sequence[ImageRecord]:
        """List all images, without a filter: containerd ignores it, and CRI-O looks up one image."""
        with mapped_errors():
            reply = await self._images.list_images(cri.ListImagesRequest())
        return tuple(_record(image) for image in reply.images)

    async def image_status(self, image: str) -> ImageRecord | None:
        """Return the image with that name, digest or ID; None if it is not on the node."""
        with mapped_errors(image):
            reply = await self._images.image_status(cri.ImageStatusRequest(image=cri.ImageSpec(image=image)))
        return _record(reply.image) if reply.image is not None else None

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:
        """Pull and unpack an image; returns its ID. Names no sandbox, in whose namespace CRI-O would act."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image, runtime_handler=self._handler))
        if self._handler:
            request.sandbox_config = cri.PodSandboxConfig()  # containerd reads the handler only together with it
        if auth is not None:
            request.auth = cri.AuthConfig(
                username=auth.username, password=auth.password, identity_token=auth.identity_token
            )
        with mapped_errors(image):
            reply = await self._images.pull_image(request, metadata={"containerd-lease": lease} if lease else None)
        return reply.image_ref

    async def remove_image(self, image: str) -> None:
        """Remove the image with all its tags and digests."""
        with mapped_errors(image):
            await self._images.remove_image(cri.RemoveImageRequest(image=cri.ImageSpec(image=image)))

    async def image_fs_info(self) -> Sequence[ImageFilesystem]:
        """List the file systems with images."""
        with mapped_errors():
            reply = await self._images.image_fs_info(cri.ImageFsInfoRequest())
        return tuple(
            ImageFilesystem(mountpoint=one.fs_id.mountpoint if one.fs_id else "") for one in reply.image_filesystems
        )


def _record(image: cri.Image) -> ImageRecord:
    return ImageRecord(
        id=image.id,
        repo_tags=tuple(image.repo_tags),
        repo_digests=tuple(image.repo_digests),
        size=image.size,
        pinned=image.pinned,
    )
