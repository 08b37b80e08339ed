"""What a manifest says of an image's layers.

https://github.com/opencontainers/image-spec/blob/main/manifest.md; Docker's own manifest of version 2 is the same here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes. Registries are to take manifests up to this size (OCI distribution specification)."""

_LARGEST_TOTAL = 2**63 - 1
"""Bytes. Events cannot carry more, and no registry has it: containerd refuses such a manifest."""


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
    """The layers of a manifest; None where the blob is not one: an index, a config, a layer, nonsense."""
    try:
        manifest = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last one: nested a thousand times
        return None
    layers = Layers(
        sizes={layer.digest: max(layer.size, 0) for layer in manifest.layers},
        config=manifest.config.digest if manifest.config else "",
    )
    return layers if layers.total <= _LARGEST_TOTAL else None
