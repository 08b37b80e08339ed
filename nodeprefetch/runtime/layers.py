"""What a manifest says of an image's layers.

https://github.com/opencontainers/image-spec/blob/main/manifest.md; Docker's own manifest of version 2 is the same here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes. Registries are to take manifests up to this size (OCI distribution specification)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """The blobs that one manifest wants."""

    sizes: Mapping[str, int]
    """Bytes of each layer by its digest, as it is transferred. A layer that is there twice is fetched once."""

    config: str
    """Digest of the config; empty when there is none."""

    @property
    def total(self) -> int:
        """Bytes of all layers."""
        return sum(self.sizes.values())


class _Descriptor(msgspec.Struct):
    digest: str
    size: int = 0


class _Manifest(msgspec.Struct):
    layers: list[_Descriptor]
    config: _Descriptor | None = None


_decode = msgspec.json.Decoder(_Manifest).decode


def read_layers(blob: bytes) -> Layers | None:
    """The layers of a manifest; None where the blob is not one: an index, a config, a layer."""
    try:
        manifest = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Layers(
        sizes={layer.digest: max(layer.size, 0) for layer in manifest.layers},
        config=manifest.config.digest if manifest.config else "",
    )
