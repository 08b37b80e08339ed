"""Whether what containerd holds is a container image.

Version 2 takes any OCI artifact for one. Version 1 fails its pull, and lists it as an image from then on.
"""

from contextlib import suppress

import msgspec

from nodeprefetch.runtime.api import ContainerdApi
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError, answered_within

LARGEST_CONFIG = 4 * 1024 * 1024
"""Bytes of a config that is read. Larger ones are an image's, with a long history."""

_LOOK_LIMIT = 5.0
"""Seconds in which containerd has to hand out a config. After that an image is taken for one."""

_FAULT = Fault(kind=FaultClass.PERMANENT, reason="artifact", useless_partial=True)
_TEXT = (
    "not a container image but an OCI artifact: containerd does not unpack artifacts, and downloads only parts of some "
    "(remove it from the list)"
)


class _Config(msgspec.Struct):
    """What every image's config has; https://github.com/opencontainers/image-spec/blob/main/config.md."""

    os: object = None
    rootfs: object = None


_decode = msgspec.json.Decoder(_Config).decode


def is_image_config(blob: bytes) -> bool:
    """Whether a config is that of an image. WebAssembly modules, which name a system too, count as images."""
    try:
        config = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return config.os is not None or config.rootfs is not None


class ArtifactCheck:
    """Looks at the config of what is there.

    Args:
        api: where to look; None: the runtime itself distinguishes images from artifacts.
    """

    def __init__(self, api: ContainerdApi | None = None) -> None:
        self._api = api

    async def pass_image(self, image: str, image_id: str) -> None:
        """Return if that is an image, or nobody can say.

        Args:
            image: its name.
            image_id: digest of its config, as containerd names images.

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
