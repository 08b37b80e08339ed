"""Tells container images from other OCI artifacts, which containerd does not.

containerd 2 pulls any artifact like an image. Version 1 fails the pull, but lists the artifact as an image afterwards.
"""

from contextlib import suppress

import msgspec

from nodeprefetch.runtime.api import ContainerdApi
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError, answered_within

LARGEST_CONFIG = 4 * 1024 * 1024
"""Bytes of a config to read. Larger ones belong to images with a long history."""

_LOOK_LIMIT = 5.0
"""Seconds for reading a config. After that the image passes."""

_FAULT = Fault(kind=FaultClass.PERMANENT, reason="artifact", useless_partial=True)
_TEXT = (
    "not a container image but an OCI artifact: containerd does not unpack artifacts, and downloads only parts of some "
    "(remove it from the list)"
)


class _Config(msgspec.Struct):
    """Fields of every image config; https://github.com/opencontainers/image-spec/blob/main/config.md."""

    os: object = None
    rootfs: object = None


_decode = msgspec.json.Decoder(_Config).decode


def is_image_config(blob: bytes) -> bool:
    """Whether a config belongs to an image. WebAssembly modules, which also name an OS, count as images."""
    try:
        config = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return config.os is not None or config.rootfs is not None


class ArtifactCheck:
    """Checks the configs of images.

    Args:
        api: where to read them; None if the runtime itself rejects artifacts.
    """

    def __init__(self, api: ContainerdApi | None = None) -> None:
        self._api = api

    async def pass_image(self, image: str, image_id: str) -> None:
        """Return if it is an image, or if its config cannot be read.

        Args:
            image: name of the image.
            image_id: digest of its config, which is its ID on containerd.

        Raises:
            RuntimeFaultError: it is an artifact, reason `artifact`.
        """
        if self._api is None:
            return
        config = None
        with suppress(RuntimeFaultError), answered_within(_LOOK_LIMIT):  # best effort
            config = await self._api.read_blob(image_id, most=LARGEST_CONFIG)
        if config is not None and not is_image_config(config):
            raise RuntimeFaultError(_TEXT, fault=_FAULT, image=image)
