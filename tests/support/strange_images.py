"""Images that few people have seen: unusual, foreign, outdated, or no images at all. Every call makes the same ones."""

import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nodeprefetch.testing.images import (
    CONFIG_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Blob,
    Image,
    Index,
    Layer,
    foreign_architecture,
    host_architecture,
    make_artifact,
    make_image,
    make_index,
    tar_of,
)

DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA1_TYPE = "application/vnd.docker.distribution.manifest.v1+prettyjws"
ZSTD_TYPE = "application/vnd.oci.image.layer.v1.tar+zstd"
TAR_TYPE = "application/vnd.oci.image.layer.v1.tar"
FOREIGN_TYPE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"

_ZSTD_BLOCK = 128 * 1024


def image_of(
    layers: Sequence[Layer],
    *,
    config: dict[str, Any] | None = None,
    config_type: str = CONFIG_TYPE,
    manifest_type: str = MANIFEST_TYPE,
    manifest: dict[str, Any] | None = None,
    about_layers: dict[str, Any] | None = None,
    algorithm: str = "sha256",
) -> Image:
    """Return an image of these layers for this machine.

    Args:
        layers: as they are, with their types.
        config: replaces fields of the config.
        config_type: of the config.
        manifest_type: of the manifest.
        manifest: more fields of the manifest.
        about_layers: more fields of each layer's descriptor.
        algorithm: of the digests of config and manifest.
    """
    document = {
        "architecture": host_architecture(),
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        **(config or {}),
    }
    about = blob_of(document, config_type, algorithm)
    whole = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": about.descriptor,
        "layers": [layer.blob.descriptor | (about_layers or {}) for layer in layers],
        **(manifest or {}),
    }
    return Image(
        manifest=blob_of(whole, manifest_type, algorithm),
        config=about,
        layers=tuple(layer.blob for layer in layers),
        architecture=str(document["architecture"]),
        os=str(document["os"]),
    )


def blob_of(document: object, media_type: str, algorithm: str = "sha256") -> Blob:
    """Return a document as a blob."""
    return _hashed(json.dumps(document).encode(), media_type, algorithm)


def plain_layer(seed: object, *, media_type: str = LAYER_TYPE, size: int = 2000, algorithm: str = "sha256") -> Layer:
    """Return a layer with one file: gzip, zstd or neither, as its type says."""
    archive = tar_of(f"data/{seed}", random.Random(f"strange {seed}").randbytes(size))
    packed = archive
    if media_type == ZSTD_TYPE:
        packed = _zstd(archive)
    elif media_type.endswith(("gzip", "tar.gz")):
        packed = gzip.compress(archive, mtime=0)
    return Layer(blob=_hashed(packed, media_type, algorithm), diff_id=_digest(archive))


def estargz_layer(seed: object) -> Layer:
    """Return a layer as eStargz packs it: a gzip stream for each part, a table of contents, and a footer."""
    archive = tar_of(f"data/{seed}", random.Random(f"estargz {seed}").randbytes(3000))
    contents = tar_of("stargz.index.json", b'{"version":1,"entries":[]}')
    head = archive[: 512 + 3072]  # header and content; the end of the archive comes last
    whole = head + contents
    extra = b"SG\x16\x00" + b"%016xSTARGZ" % len(head)
    footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + len(extra).to_bytes(2, "little") + extra
    footer += b"\x01\0\0\xff\xff" + bytes(8)
    parts = (head[:512], head[512:2048], head[2048:], contents)
    packed = b"".join(gzip.compress(part, mtime=0) for part in parts) + footer
    return Layer(blob=Blob.of(packed, LAYER_TYPE), diff_id=_digest(whole))


def strange_images(*, foreign_url: str = "") -> dict[str, Image | Index]:
    """Return images by a word that says what is strange about them.

    Args:
        foreign_url: address below which the layer of `foreign-layer` is, as `DIGEST`.
    """
    foreign = plain_layer("foreign", media_type=FOREIGN_TYPE)
    same = plain_layer("twice")
    ours, attestation = make_image(seed="attested"), _attestation()
    nested = make_index([make_image(seed="nested")])
    return {
        "zstd": image_of([plain_layer("zstd", media_type=ZSTD_TYPE)]),
        "uncompressed": image_of([plain_layer("uncompressed", media_type=TAR_TYPE)]),
        "estargz": image_of([estargz_layer("estargz")]),
        "docker": _docker(),
        "docker-list": _list_of(DOCKER_LIST_TYPE, [_docker()]),
        "no-layers": image_of([]),
        "same-layer-twice": image_of([same, same]),
        "128-layers": image_of([plain_layer(f"many {number}", size=10) for number in range(128)]),
        "attested": _list_of(INDEX_TYPE, [ours, attestation]),
        "foreign-layer": image_of(
            [foreign], about_layers={"urls": [f"{foreign_url}{foreign.blob.digest}"]} if foreign_url else {}
        ),
        "sha512": image_of([plain_layer("sha512", algorithm="sha512")], algorithm="sha512"),
        "sha512-layer": image_of([plain_layer("sha512", algorithm="sha512")]),
        "nested-index": _index_of_index(nested),
        "large-manifest": image_of([plain_layer("large")], manifest={"annotations": {"a": "a" * 3_900_000}}),
        "huge-manifest": image_of([plain_layer("huge")], manifest={"annotations": {"a": "a" * 5_000_000}}),
        "foreign-platform": make_image(seed="foreign", architecture=foreign_architecture()),
        "no-platform": make_index([make_image(seed="no", architecture=foreign_architecture())]),
        "windows": make_index([make_image(seed="windows", os="windows")]),
        "schema1": _schema1(),
        "no-config-type": image_of([plain_layer("untyped")], config_type=""),
        "unknown-layer-type": image_of([plain_layer("unknown", media_type="application/vnd.example.layer")]),
        "one-unknown-layer": image_of([plain_layer("k"), plain_layer("u", media_type="application/vnd.example.layer")]),
        "encrypted": image_of([plain_layer("enc", media_type=LAYER_TYPE + "+encrypted")]),
        "wrong-diff-id": image_of(
            [plain_layer("wrong")], config={"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
        ),
        "missing-diff-id": image_of([plain_layer("missing")], config={"rootfs": {"type": "layers", "diff_ids": []}}),
        "artifact-empty-config": make_artifact(seed="a"),
        "another-artifact-empty-config": make_artifact(seed="b"),
        "artifact-tar-layer": make_artifact(seed="c", layer_type=LAYER_TYPE),
        "artifact-no-layers": _artifact([], Blob.of(b"{}", EMPTY_TYPE)),
        "artifact-empty-layer": _artifact([Blob.of(b"{}", EMPTY_TYPE)], Blob.of(b"{}", EMPTY_TYPE)),
        "artifact-image-config-type": _artifact(
            [plain_layer("typed", media_type="application/vnd.example.weights").blob], Blob.of(b"{}", CONFIG_TYPE)
        ),
        "helm": _artifact(
            [plain_layer("chart", media_type="application/vnd.cncf.helm.chart.content.v1.tar+gzip").blob],
            Blob.of(b'{"name":"web","version":"1.0.0","apiVersion":"v2"}', "application/vnd.cncf.helm.config.v1+json"),
            artifact_type="",
        ),
        "wasm": _artifact(
            [Blob.of(b"\0asm\1\0\0\0", "application/wasm")],
            Blob.of(b'{"architecture":"wasm","os":"wasip1","layerDigests":[]}', "application/vnd.wasm.config.v0+json"),
            artifact_type="",
        ),
        "wasm-index": _wasm_index(),
        "cosign": image_of(
            [plain_layer("cosign", media_type="application/vnd.dev.cosign.simplesigning.v1+json")],
            config={"architecture": "", "os": ""},
        ),
        "modelpack": _artifact(
            [plain_layer("model", media_type="application/vnd.cncf.model.weight.v1.tar").blob],
            Blob.of(
                b'{"descriptor":{"name":"m"},"modelfs":{"type":"layers","diffIds":[]},"config":{}}',
                "application/vnd.cncf.model.config.v1+json",
            ),
            artifact_type="application/vnd.cncf.model.manifest.v1+json",
        ),
        "index-of-artifacts": _list_of(INDEX_TYPE, [make_artifact(seed="one"), make_artifact(seed="two")]),
        "empty-index": _list_of(INDEX_TYPE, []),
    }


def _artifact(layers: Sequence[Blob], config: Blob, *, artifact_type: str = "application/vnd.example.model") -> Image:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        **({"artifactType": artifact_type} if artifact_type else {}),
        "config": config.descriptor,
        "layers": [layer.descriptor for layer in layers],
    }
    return Image(manifest=blob_of(document, MANIFEST_TYPE), config=config, layers=tuple(layers), architecture="", os="")


def _wasm_index() -> Index:
    module = _artifact(
        [Blob.of(b"\0asm\1\0\0\0", "application/wasm")],
        Blob.of(b'{"architecture":"wasm","os":"wasip1","layerDigests":["x"]}', "application/vnd.wasm.config.v0+json"),
        artifact_type="",
    )
    return _list_of(INDEX_TYPE, [replace(module, architecture="wasm", os="wasip1")])


def _docker() -> Image:
    return image_of(
        [plain_layer("docker", media_type=DOCKER_LAYER_TYPE)],
        config_type=DOCKER_CONFIG_TYPE,
        manifest_type=DOCKER_MANIFEST_TYPE,
    )


def _attestation() -> Image:
    layer = Blob.of(b"{}", "application/vnd.in-toto+json")
    return image_of([Layer(blob=layer, diff_id=layer.digest)], config={"architecture": "unknown", "os": "unknown"})


def _list_of(media_type: str, images: Iterable[Image]) -> Index:
    images = tuple(images)
    manifests = []
    for image in images:
        about = image.manifest.descriptor
        if image.os:
            about |= {"platform": {"architecture": image.architecture, "os": image.os}}
        if image.os == "unknown":
            about |= {
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": images[0].digest,
                }
            }
        manifests.append(about)
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    return Index(manifest=blob_of(document, media_type), images=images)


def _index_of_index(inner: Index) -> Index:
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [inner.manifest.descriptor]}
    # Content looks for manifests in all images: the inner index is served as one of them.
    as_image = Image(manifest=inner.manifest, config=inner.images[0].config, layers=(), architecture="", os="")
    return Index(manifest=blob_of(document, INDEX_TYPE), images=(as_image, *inner.images))


def _schema1() -> Image:
    layer = plain_layer("schema1", media_type=DOCKER_LAYER_TYPE)
    document = {
        "schemaVersion": 1,
        "name": "strange/schema1",
        "tag": "1",
        "architecture": host_architecture(),
        "fsLayers": [{"blobSum": layer.blob.digest}],
        "history": [{"v1Compatibility": "{}"}],
    }
    config = Blob.of(b"{}", DOCKER_CONFIG_TYPE)
    return Image(
        manifest=blob_of(document, SCHEMA1_TYPE),
        config=config,
        layers=(layer.blob,),
        architecture=host_architecture(),
        os="linux",
    )


def _hashed(data: bytes, media_type: str, algorithm: str) -> Blob:
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    return Blob(media_type=media_type, data=data, digest=digest)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _zstd(data: bytes) -> bytes:
    """Return a Zstandard frame of raw blocks (RFC 8878)."""
    frame = b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little")  # a single segment, its size in four bytes
    blocks = [data[start : start + _ZSTD_BLOCK] for start in range(0, len(data), _ZSTD_BLOCK)]
    for block in blocks:
        header = len(block) << 3 | (block is blocks[-1])
        frame += header.to_bytes(3, "little") + block
    return frame
