"""`ImageService` over CRI: the container runtime behind a socket."""

from collections.abc import Sequence

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.rpc import Channel, cri
from nodeprefetch.runtime.api import ImageFilesystem, ImageRecord, RuntimeVersion
from nodeprefetch.runtime.errors import our_errors


class CriImageService:
    """The runtime at the other end of a channel, `runtime.v1`."""

    def __init__(self, channel: Channel) -> None:
        self._images = cri.ImageServiceStub(channel)
        self._runtime = cri.RuntimeServiceStub(channel)

    async def version(self) -> RuntimeVersion:
        """Who is there."""
        with our_errors():
            reply = await self._runtime.version(cri.VersionRequest())
        return RuntimeVersion(
            name=reply.runtime_name, version=reply.runtime_version, api_version=reply.runtime_api_version
        )

    async def list_images(self) -> Sequence[ImageRecord]:
        """All images. No filter is sent: containerd ignores it and CRI-O treats it as one look-up."""
        with our_errors():
            reply = await self._images.list_images(cri.ListImagesRequest())
        return tuple(_record(image) for image in reply.images)

    async def image_status(self, image: str) -> ImageRecord | None:
        """The image of that name, digest or ID; None where the runtime does not hold it."""
        with our_errors(image):
            reply = await self._images.image_status(cri.ImageStatusRequest(image=cri.ImageSpec(image=image)))
        return _record(reply.image) if reply.image is not None else None

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:
        """Pull and unpack; returns the image ID. No sandbox is named: CRI-O would act in its namespace."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image))
        if auth is not None:
            request.auth = cri.AuthConfig(
                username=auth.username, password=auth.password, identity_token=auth.identity_token
            )
        with our_errors(image):
            reply = await self._images.pull_image(request, metadata={"containerd-lease": lease} if lease else None)
        return reply.image_ref

    async def remove_image(self, image: str) -> None:
        """Remove the image with all its tags and digests."""
        with our_errors(image):
            await self._images.remove_image(cri.RemoveImageRequest(image=cri.ImageSpec(image=image)))

    async def image_fs_info(self) -> Sequence[ImageFilesystem]:
        """Where images are kept. An absent number is zero, as in the protocol."""
        with our_errors():
            reply = await self._images.image_fs_info(cri.ImageFsInfoRequest())
        return tuple(
            ImageFilesystem(
                mountpoint=one.fs_id.mountpoint if one.fs_id else "",
                used_bytes=one.used_bytes.value if one.used_bytes else 0,
                inodes_used=one.inodes_used.value if one.inodes_used else 0,
            )
            for one in reply.image_filesystems
        )


def _record(image: cri.Image) -> ImageRecord:
    return ImageRecord(
        id=image.id,
        repo_tags=tuple(image.repo_tags),
        repo_digests=tuple(image.repo_digests),
        size=image.size,
        pinned=image.pinned,
    )
