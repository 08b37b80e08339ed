"""Checks that what containerd lists as an image can be used: that it is one, and that its layers are there.

CRI does not say. containerd records in the labels of a config for which snapshotters it has unpacked the image, so that
one call is enough for nearly every image. Only for others are manifest and layers looked at.
"""

from contextlib import suppress

from nodeprefetch.runtime.api import ContainerdApi
from nodeprefetch.runtime.artifacts import (
    Manifest,
    artifact_error,
    is_image_config,
    is_module_config,
    read_index,
    read_manifest,
)
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within
from nodeprefetch.runtime.faults import Fault, FaultClass
from nodeprefetch.runtime.platforms import foreign_platform, node_architecture
from nodeprefetch.values.image_ref import ImageRef

LARGEST_DOCUMENT = 5 * 1024 * 1024
"""Bytes of a manifest or config to read. containerd accepts manifests of 4.2 MiB."""

_MOST_PLATFORMS = 100
"""Manifests of an index to look for. Those of other platforms are not on the node."""

_LOOK_LIMIT = 5.0
"""Seconds for all calls about one image. After that it counts as usable."""

_UNCLEAR = frozenset({"bad_manifest", "bad_layer", "store_damaged", "no_platform"})
"""Reasons of failed pulls of which an artifact may be the cause. containerd 1 records the name before it unpacks."""

_INCOMPLETE = Fault(kind=FaultClass.PASSING, reason="content_gone", retries=3)
_NOT_UNPACKED = Fault(kind=FaultClass.PERMANENT, reason="not_unpacked")


class ImageCheck:
    """Checks images. An error or silence of containerd never counts against an image.

    Args:
        api: where to look; None if the runtime itself checks, as CRI-O does, which can use artifacts too.
        snapshotter: for which images must be unpacked; empty: for any, or not yet.
    """

    def __init__(self, api: ContainerdApi | None = None, *, snapshotter: str = "") -> None:
        self._api = api
        self._snapshotter = snapshotter

    async def is_usable(self, image: ImageRef, image_id: str) -> bool:
        """Whether pods can use a listed image without asking its registry. False: it must be pulled again.

        Args:
            image: its name.
            image_id: digest of its config, which is its ID on containerd. All artifacts with an empty config share one.

        Raises:
            RuntimeFaultError: it is an artifact, reason `artifact`; a pull of the same digest would not help.
        """
        if self._api is None:
            return True
        found: bool | RuntimeFaultError = True
        with suppress(RuntimeFaultError), answered_within(_LOOK_LIMIT):
            found = await self._look(self._api, image, image_id)
        if isinstance(found, RuntimeFaultError):
            raise found
        return found

    async def check_pulled(self, image: ImageRef, image_id: str) -> str:
        """Return if an image that was just pulled can be used.

        Args:
            image: its name.
            image_id: digest of its config.

        Returns:
            Its platform, `linux/arm64`, if this node does not run its programs; else an empty text. containerd looks at
            platforms only in an index.

        Raises:
            RuntimeFaultError: it is an artifact (reason `artifact`), it was not unpacked for the snapshotter
                (`not_unpacked`), or some layers are not there (`content_gone`).
        """
        if await self.is_usable(image, image_id):
            return await self._foreign_platform(image_id)
        if self._snapshotter:
            text = f"pulled, but not unpacked for the snapshotter {self._snapshotter} of the runtime handler"
            raise RuntimeFaultError(text, fault=_NOT_UNPACKED, image=image.text)
        raise RuntimeFaultError("pulled, but some layers are not on the node", fault=_INCOMPLETE, image=image.text)

    async def explained(self, image: ImageRef, error: RuntimeFaultError) -> RuntimeFaultError:
        """Return why a pull failed: the runtime's error, or that it is an artifact.

        Args:
            image: its name.
            error: of the runtime.
        """
        if self._api is None or error.fault.reason not in _UNCLEAR:
            return error
        manifest = config = None
        with suppress(RuntimeFaultError), answered_within(_LOOK_LIMIT):
            manifest = await _manifest_of(self._api, image)
            if manifest is not None and not manifest.is_image:
                config = await self._api.read_blob(manifest.config.digest, most=LARGEST_DOCUMENT)
        if manifest is None or manifest.is_image or (config is not None and is_module_config(config)):
            return error
        return artifact_error(image.text, manifest)

    async def _foreign_platform(self, image_id: str) -> str:
        config = None
        if self._api is not None:
            with suppress(RuntimeFaultError), answered_within(_LOOK_LIMIT):
                config = await self._api.read_blob(image_id, most=LARGEST_DOCUMENT)
        return foreign_platform(config, node_architecture()) if config is not None else ""

    async def _look(self, api: ContainerdApi, image: ImageRef, image_id: str) -> bool | RuntimeFaultError:
        """Whether it can be used; an error says why it never will."""
        unpacked = await api.snapshotters(image_id)
        if unpacked is None or (self._snapshotter in unpacked if self._snapshotter else unpacked):
            return True
        manifest = await _manifest_of(api, image, image_id)
        config = await api.read_blob(image_id, most=LARGEST_DOCUMENT)
        if config is not None and not is_image_config(config):
            return artifact_error(image.text, manifest)
        if manifest is None:
            return True
        is_module = config is not None and is_module_config(config)
        if not manifest.is_image and not is_module:
            return artifact_error(image.text, manifest)
        for layer in manifest.layers:
            if await api.blob_size(layer.digest) is None:
                return False
        return is_module or not manifest.layers or not self._snapshotter


async def _manifest_of(api: ContainerdApi, image: ImageRef, image_id: str = "") -> Manifest | None:
    """Read the manifest that a name stands for on this node; None if it is not there.

    Args:
        api: where to look.
        image: the name.
        image_id: which one of an index; empty: the first one.
    """
    digest = await api.image_digest(image.pull_ref)
    blob = await api.read_blob(digest, most=LARGEST_DOCUMENT) if digest else None
    if blob is None:
        return None
    index = read_index(blob)
    if index is None:
        return read_manifest(blob)
    for each in index.manifests[:_MOST_PLATFORMS]:
        blob = await api.read_blob(each.digest, most=LARGEST_DOCUMENT)
        manifest = read_manifest(blob) if blob is not None else None
        if manifest is not None and image_id in {"", manifest.config.digest}:
            return manifest
    return None
