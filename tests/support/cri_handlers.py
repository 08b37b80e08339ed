"""CRI's services for grpclib's server, answering from a script."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.errors import leaves
from nodeprefetch.rpc import cri
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing.service import Hang
from nodeprefetch.values.image_ref import ImageRef
from tests.support.cri_directories import CrioDownloads, DownloadDirectory
from tests.support.cri_download import DownloadError, download
from tests.support.cri_script import CriScript, FromRegistry, Outcome, Refusal

RequestType = TypeVar("RequestType")


class MessageCodec(CodecBase):
    """Generated messages to bytes and back."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The bytes of a message."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message in the bytes."""
        return message_type.parse(data)


class CriHandlers:
    """`runtime.v1.ImageService` and `runtime.v1.RuntimeService`.

    Args:
        script: what to answer.
        version: what Version answers.
        mountpoint: what ImageFsInfo answers.
        downloads: where real downloads are kept while they arrive; None: nowhere.
    """

    def __init__(
        self, script: CriScript, version: cri.VersionResponse, mountpoint: str, downloads: CrioDownloads | None = None
    ) -> None:
        self._script = script
        self._downloads = downloads
        self._version = version
        self._mountpoint = mountpoint
        self.is_stopping = False

    def __mapping__(self) -> dict[str, Handler]:
        """Path of each method to its handler."""
        images, runtime = "/runtime.v1.ImageService", "/runtime.v1.RuntimeService"
        return {
            f"{images}/ListImages": self._unary(self._list, cri.ListImagesRequest, cri.ListImagesResponse),
            f"{images}/ImageStatus": self._unary(self._image_status, cri.ImageStatusRequest, cri.ImageStatusResponse),
            f"{images}/PullImage": self._unary(self._pull, cri.PullImageRequest, cri.PullImageResponse),
            f"{images}/RemoveImage": self._unary(self._remove, cri.RemoveImageRequest, cri.RemoveImageResponse),
            f"{images}/ImageFsInfo": self._unary(self._image_fs_info, cri.ImageFsInfoRequest, cri.ImageFsInfoResponse),
            f"{runtime}/Version": self._unary(self._tell_version, cri.VersionRequest, cri.VersionResponse),
            f"{runtime}/Status": self._unary(self._status, cri.StatusRequest, cri.StatusResponse),
        }

    def _unary(
        self,
        answer: Callable[[RequestType, dict[str, str]], Awaitable[Any]],
        request_type: type[RequestType],
        reply_type: type,
    ) -> Handler:
        name = request_type.__name__.removesuffix("Request")

        async def handle(stream: Stream[RequestType, Any]) -> None:
            request = await stream.recv_message()
            if request is None:
                raise GRPCError(Status.INTERNAL, "a call without a message")
            self._script.note(name)
            metadata = {str(key): str(value) for key, value in (stream.metadata or {}).items()}
            await stream.send_message(await answer(request, metadata))

        return Handler(handle, Cardinality.UNARY_UNARY, request_type, reply_type)

    async def _list(self, _: cri.ListImagesRequest, __: object) -> cri.ListImagesResponse:
        return cri.ListImagesResponse(images=[_image(record) for record in self._script.images])

    async def _image_status(self, request: cri.ImageStatusRequest, _: object) -> cri.ImageStatusResponse:
        record = self._script.find(_name(request.image))
        return cri.ImageStatusResponse(image=_image(record) if record else None)

    async def _remove(self, request: cri.RemoveImageRequest, _: object) -> cri.RemoveImageResponse:
        self._script.remove(_name(request.image))
        return cri.RemoveImageResponse()

    async def _image_fs_info(self, _: cri.ImageFsInfoRequest, __: object) -> cri.ImageFsInfoResponse:
        usage = cri.FilesystemUsage(
            fs_id=cri.FilesystemIdentifier(mountpoint=self._mountpoint),
            used_bytes=cri.UInt64Value(value=sum(record.size for record in self._script.images)),
            inodes_used=cri.UInt64Value(value=len(self._script.images)),
        )
        return cri.ImageFsInfoResponse(image_filesystems=[usage])

    async def _tell_version(self, _: cri.VersionRequest, __: object) -> cri.VersionResponse:
        return self._version

    async def _status(self, _: cri.StatusRequest, __: object) -> cri.StatusResponse:
        conditions = [
            cri.RuntimeCondition(type="RuntimeReady", status=True),
            cri.RuntimeCondition(type="NetworkReady", status=False, reason="NetworkPluginNotReady"),
        ]
        return cri.StatusResponse(status=cri.RuntimeStatus(conditions=conditions))

    async def _pull(self, request: cri.PullImageRequest, metadata: dict[str, str]) -> cri.PullImageResponse:
        name = _name(request.image)
        auth = _auth(request.auth) if request.auth else None
        number = self._script.begin(name, auth, metadata)
        was_cancelled = False
        try:
            try:
                ref = ImageRef.parse(name)
            except ValueError as error:
                text = f'failed to parse image reference "{name}": invalid reference format'
                raise GRPCError(Status.UNKNOWN, text) from error
            image_id = await self._bring(ref, auth, self._script.next_outcome(ref))
        except asyncio.CancelledError:
            was_cancelled = not self.is_stopping
            raise
        finally:
            self._script.end(number, was_cancelled=was_cancelled)
        return cri.PullImageResponse(image_ref=image_id)

    async def _bring(self, ref: ImageRef, auth: AuthConfig | None, outcome: Outcome) -> str:
        if isinstance(outcome, Hang):
            await (asyncio.Event().wait() if outcome.seconds == float("inf") else asyncio.sleep(outcome.seconds))
            outcome = outcome.then
        if isinstance(outcome, Refusal):
            raise GRPCError(Status[outcome.code], outcome.message)
        if isinstance(outcome, RuntimeFaultError):
            raise GRPCError(Status[outcome.code or "UNAVAILABLE"], str(outcome))
        if isinstance(outcome, FromRegistry):
            return await self._download(ref, auth)
        self._script.hold(ref, outcome, digest=outcome, size=1000)
        return outcome

    async def _download(self, ref: ImageRef, auth: AuthConfig | None) -> str:
        directory = DownloadDirectory.make(self._downloads) if self._downloads else None
        try:
            return await self._download_into(directory, ref, auth)
        finally:
            if directory is not None and not self.is_stopping:  # who is killed leaves it behind
                directory.remove()

    async def _download_into(self, directory: DownloadDirectory | None, ref: ImageRef, auth: AuthConfig | None) -> str:
        prefix = f'failed to pull and unpack image "{ref.pull_ref}": '
        # Raised below: before Python 3.11.4 what is raised inside `except*` comes in a group.
        try:
            done = await download(ref, auth, directory)
        except* OSError as errors:
            failure = GRPCError(Status.UNKNOWN, f"{prefix}failed to do request: {next(leaves(errors))}")
        except* DownloadError as errors:
            first = next(leaves(errors))
            failure = GRPCError(Status[getattr(first, "code", "UNKNOWN")], f"{prefix}{first}")
        else:
            self._script.hold(ref, done.image_id, digest=done.digest, size=done.size)
            return done.image_id
        raise failure


def _name(spec: cri.ImageSpec | None) -> str:
    return spec.image if spec else ""


def _auth(auth: cri.AuthConfig) -> AuthConfig:
    return AuthConfig(username=auth.username, password=auth.password, identity_token=auth.identity_token)


def _image(record: ImageRecord) -> cri.Image:
    return cri.Image(
        id=record.id,
        repo_tags=list(record.repo_tags),
        repo_digests=list(record.repo_digests),
        size=record.size,
        pinned=record.pinned,
    )
