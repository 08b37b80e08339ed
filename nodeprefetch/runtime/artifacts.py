"""Tells container images from other OCI artifacts, by their manifests and configs. Pure functions.

containerd unpacks an image only if config and layers have the types of an image. It says nothing about the rest:
version 2 reports such a pull as done, and version 1 lists what it has refused as an image afterwards.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.runtime.faults import Fault, FaultClass

_CONFIG_TYPES = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_LAYER_TYPES = (
    "application/vnd.oci.image.layer.",
    "application/vnd.docker.image.rootfs.diff.",
    "application/vnd.docker.image.rootfs.foreign.diff.",
    "application/vnd.erofs",
)
"""How the types of layers begin that containerd unpacks."""

_LONGEST_TYPE = 100
"""Characters of a type to show."""

_FAULT = Fault(kind=FaultClass.PERMANENT, reason="artifact", useless_partial=True)


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """Names a blob; https://github.com/opencontainers/image-spec/blob/main/descriptor.md."""

    digest: str
    media_type: str = ""


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """Names the blobs of an image or artifact; https://github.com/opencontainers/image-spec/blob/main/manifest.md."""

    config: Descriptor
    listed: tuple[Descriptor, ...] | None = msgspec.field(default=None, name="layers")
    artifact_type: str = ""

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """May be none."""
        return self.listed or ()

    @property
    def is_image(self) -> bool:
        """Whether config and layers have the types that containerd unpacks."""
        return self.config.media_type in _CONFIG_TYPES and all(
            layer.media_type.startswith(_LAYER_TYPES) for layer in self.layers
        )

    @property
    def type(self) -> str:
        """What it says it is; may be empty."""
        if self.artifact_type or self.config.media_type not in _CONFIG_TYPES:
            return self.artifact_type or self.config.media_type
        return next((each.media_type for each in self.layers if not each.media_type.startswith(_LAYER_TYPES)), "")


class Index(msgspec.Struct, frozen=True):
    """Names manifests, for example one for each platform."""

    manifests: tuple[Descriptor, ...]


class _Config(msgspec.Struct):
    """Fields of every image config; https://github.com/opencontainers/image-spec/blob/main/config.md."""

    os: object = None
    rootfs: object = None


_manifest = msgspec.json.Decoder(Manifest).decode
_index = msgspec.json.Decoder(Index).decode
_config = msgspec.json.Decoder(_Config).decode

_Document = TypeVar("_Document")


def read_manifest(blob: bytes) -> Manifest | None:
    """Read a manifest; None: the blob is something else."""
    return _read(_manifest, blob)


def read_index(blob: bytes) -> Index | None:
    """Read an index; None: the blob is something else."""
    return _read(_index, blob)


def is_image_config(blob: bytes) -> bool:
    """Whether a config belongs to an image, or to a WebAssembly module, which also names an OS."""
    config = _read(_config, blob)
    return config is not None and (config.os is not None or config.rootfs is not None)


def is_module_config(blob: bytes) -> bool:
    """Whether a config belongs to something that runs without a root file system: a WebAssembly module."""
    config = _read(_config, blob)
    return config is not None and config.os is not None and config.rootfs is None


def artifact_error(image: str, manifest: Manifest | None = None) -> RuntimeFaultError:
    """Return the error for an artifact, reason `artifact`.

    Args:
        image: its name.
        manifest: what it says it is; None: not known.
    """
    told = manifest.type[:_LONGEST_TYPE] if manifest is not None else ""
    text = (
        f"not a container image but an OCI artifact{f' of type {told}' if told else ''}: containerd does not unpack"
        " artifacts, so pods cannot use it (remove it from the list; CRI-O 1.33 or newer mounts artifacts as volumes)"
    )
    return RuntimeFaultError(text, fault=_FAULT, image=image)


def _read(decode: Callable[[bytes], _Document], blob: bytes) -> _Document | None:
    try:
        return decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
