"""Create OCI images in memory, the same for the same seed: complete, with shared layers, or broken on purpose.

Media types and fields are those of the OCI image specification, version 1.0.
"""

import gzip
import hashlib
import io
import json
import platform
import random
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """Bytes under their digest, as a registry keeps them."""

    media_type: str
    data: bytes = field(repr=False)
    digest: str
    """Return `sha256:` and 64 hexadecimal digits, of `data`."""

    @classmethod
    def of(cls, data: bytes, media_type: str) -> "Blob":
        """Return the blob of these bytes."""
        return cls(media_type=media_type, data=data, digest=_digest(data))

    @property
    def size(self) -> int:
        """Size in bytes, as transferred."""
        return len(self.data)

    @property
    def descriptor(self) -> dict[str, Any]:
        """Return its descriptor in a manifest or index."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer for any number of images."""

    blob: Blob
    diff_id: str
    """Digest of the uncompressed tar, as the config of an image lists it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image for one platform."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]
    architecture: str
    os: str

    @property
    def id(self) -> str:
        """The image ID, as containerd reports it: the digest of the config."""
        return self.config.digest

    @property
    def digest(self) -> str:
        """What `name@…` resolves to."""
        return self.manifest.digest

    @property
    def manifests(self) -> tuple[Blob, ...]:
        """All that is served under `/manifests/`."""
        return (self.manifest,)

    @property
    def images(self) -> "tuple[Image, ...]":
        """Return itself, so that an image and an index can be traversed in the same way."""
        return (self,)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All that is served under `/blobs/`."""
        return (self.config, *self.layers)

    @property
    def size(self) -> int:
        """Bytes of manifest, config and layers: what containerd reports as the size of the image."""
        return sum(blob.size for blob in (self.manifest, *self.blobs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """One name for images of several platforms."""

    manifest: Blob
    images: tuple[Image, ...]

    @property
    def digest(self) -> str:
        """What `name@…` resolves to: the digest of the index."""
        return self.manifest.digest

    @property
    def manifests(self) -> tuple[Blob, ...]:
        """All that is served under `/manifests/`: the index, and the manifest of each platform."""
        return (self.manifest, *(image.manifest for image in self.images))

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All that is served under `/blobs/`."""
        return tuple(blob for image in self.images for blob in image.blobs)


def host_architecture() -> str:
    """Return the architecture of this machine, as named by the OCI specification."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def foreign_architecture() -> str:
    """Return an architecture other than this machine's."""
    return "s390x" if host_architecture() == "arm64" else "arm64"


def make_layer(size: int, *, seed: object = 0, compressible: bool = False) -> Layer:
    """Create a layer with one file.

    Args:
        size: bytes of the file. As noise it is stored, not compressed, so the blob is about 2 KiB larger.
        seed: the same seed and size make the same layer.
        compressible: zeros in place of noise: a small download that needs its full size on the disk.
    """
    content = bytes(size) if compressible else _noise(size, seed)
    archive = tar_of(f"data/{seed}-{size}.bin", content)
    return _layer(archive, compression=6 if compressible else 0)


def make_broken_layer(size: int = 4096, *, seed: object = 0) -> Layer:
    """Create a gzip layer without a tar inside: it downloads but cannot be unpacked."""
    return _layer(_noise(max(size, 1024), f"broken {seed}"), compression=0)


def make_image(
    sizes: Sequence[int] = (1024,),
    *,
    seed: object = 0,
    layers: Iterable[Layer] = (),
    compressible: bool = False,
    architecture: str | None = None,
    os: str = "linux",
) -> Image:
    """Create an image of the given layers, followed by one new layer for each size.

    Args:
        sizes: bytes of each new layer.
        seed: the same arguments make the same image, another seed makes another one, also with no new layer.
        layers: layers made before; a layer in two images is downloaded once by a runtime.
        compressible: see `make_layer`.
        architecture: as in the OCI specification; this machine's by default.
        os: as in the OCI specification.
    """
    new = (make_layer(size, seed=f"{seed}-{number}", compressible=compressible) for number, size in enumerate(sizes))
    whole = (*layers, *new)
    architecture = architecture or host_architecture()
    config = _json_blob(
        {
            "architecture": architecture,
            "os": os,
            "created": "2026-01-01T00:00:00Z",
            "config": {"Cmd": ["/nothing"], "Labels": {"seed": str(seed)}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in whole]},
            "history": [],
        },
        CONFIG_TYPE,
    )
    blobs = tuple(layer.blob for layer in whole)
    manifest = _json_blob(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor,
            "layers": [blob.descriptor for blob in blobs],
        },
        MANIFEST_TYPE,
    )
    return Image(manifest=manifest, config=config, layers=blobs, architecture=architecture, os=os)


def make_index(images: Iterable[Image]) -> Index:
    """Create an index of these images, each under its own platform."""
    images = tuple(images)
    manifests = [
        image.manifest.descriptor | {"platform": {"architecture": image.architecture, "os": image.os}}
        for image in images
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    return Index(manifest=_json_blob(document, INDEX_TYPE), images=images)


def make_broken_image(*, seed: object = 0) -> Image:
    """Create an image whose only layer cannot be unpacked."""
    return make_image((), seed=seed, layers=[make_broken_layer(seed=seed)])


def make_artifact(
    *, seed: object = 0, layer_type: str = "application/vnd.example.weights", config: bytes = b"{}"
) -> Image:
    """Create an OCI artifact with one layer: content of a registry that is not an image.

    https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
    """
    layer = Blob.of(_noise(100_000, f"artifact {seed}"), layer_type)
    about = Blob.of(
        config, "application/vnd.oci.empty.v1+json" if config == b"{}" else "application/vnd.example.config"
    )
    manifest = _json_blob(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": "application/vnd.example.model",
            "config": about.descriptor,
            "layers": [layer.descriptor],
        },
        MANIFEST_TYPE,
    )
    return Image(manifest=manifest, config=about, layers=(layer,), architecture="", os="")


def make_foreign_index(*, seed: object = 0) -> Index:
    """Create an index without an image for this machine: a runtime finds no matching platform."""
    return make_index([make_image(seed=seed, architecture=foreign_architecture())])


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json_blob(document: dict[str, Any], media_type: str) -> Blob:
    return Blob.of(json.dumps(document, indent=1).encode(), media_type)


def _noise(size: int, seed: object) -> bytes:
    source = random.Random(f"nodeprefetch {seed}")
    whole, rest = divmod(size, _CHUNK)
    return b"".join([*(source.randbytes(_CHUNK) for _ in range(whole)), source.randbytes(rest)])


def tar_of(name: str, content: bytes) -> bytes:
    """Return a tar with one file."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return file.getvalue()


def _layer(archive: bytes, *, compression: int) -> Layer:
    packed = gzip.compress(archive, compression, mtime=0)
    return Layer(blob=Blob.of(packed, LAYER_TYPE), diff_id=_digest(archive))
