"""Images made for tests are what their manifests say, and the same each time."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from nodeprefetch.testing.images import (
    Blob,
    Image,
    Index,
    foreign_architecture,
    host_architecture,
    make_broken_image,
    make_foreign_index,
    make_image,
    make_index,
    make_layer,
)
from tests.support.publish import write_oci_layout


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_the_same_arguments_make_the_same_image() -> None:
    assert make_image((10, 3_000_000), seed="a") == make_image((10, 3_000_000), seed="a")


@pytest.mark.parametrize("sizes", [(), (1000,)])
def test_another_seed_makes_another_image(sizes: tuple[int, ...]) -> None:
    assert make_image(sizes, seed=1).id != make_image(sizes, seed=2).id


def test_two_layers_of_one_size_differ() -> None:
    first, second = make_image((5000, 5000)).layers

    assert first.digest != second.digest


def test_a_manifest_lists_config_and_layers_by_digest_and_size() -> None:
    image = make_image((1000, 2000), seed=3)

    manifest = json.loads(image.manifest.data)

    assert [digest(blob.data) for blob in image.blobs] == [
        part["digest"] for part in (manifest["config"], *manifest["layers"])
    ]
    assert [len(blob.data) for blob in image.blobs] == [
        part["size"] for part in (manifest["config"], *manifest["layers"])
    ]


def test_a_config_lists_the_layers_unpacked() -> None:
    image = make_image((1000, 2000), seed=3)

    config = json.loads(image.config.data)

    assert [digest(gzip.decompress(blob.data)) for blob in image.layers] == config["rootfs"]["diff_ids"]


def test_noise_is_transferred_at_its_size() -> None:
    blob = make_layer(1_000_000).blob

    assert 1_000_000 <= blob.size <= 1_015_000


def test_a_compressible_layer_is_small_to_transfer_and_large_on_disk() -> None:
    blob = make_layer(1_000_000, compressible=True).blob

    assert blob.size < 5000
    with tarfile.open(fileobj=io.BytesIO(blob.data)) as archive:
        assert [1_000_000] == [member.size for member in archive]


def test_a_layer_can_be_shared() -> None:
    shared = make_layer(1000, seed="shared")

    first, second = (make_image((10,), seed=seed, layers=[shared]) for seed in (1, 2))

    assert {shared.blob} == set(first.layers) & set(second.layers)


def test_an_image_is_as_large_as_its_parts() -> None:
    image = make_image((1000,))

    assert image.size == image.manifest.size + image.config.size + image.layers[0].size


def test_an_image_is_for_this_machine_unless_said_otherwise() -> None:
    assert host_architecture() == json.loads(make_image().config.data)["architecture"]
    assert "riscv64" == json.loads(make_image(architecture="riscv64").config.data)["architecture"]


def test_an_index_names_the_platform_of_each_image() -> None:
    index = make_index([make_image(architecture="amd64"), make_image(architecture="arm64", os="windows")])

    platforms = [entry["platform"] for entry in json.loads(index.manifest.data)["manifests"]]

    assert [("amd64", "linux"), ("arm64", "windows")] == [
        (platform["architecture"], platform["os"]) for platform in platforms
    ]
    assert [index.digest, *(image.digest for image in index.images)] == [blob.digest for blob in index.manifests]


def test_a_foreign_index_has_nothing_for_this_machine() -> None:
    assert host_architecture() != foreign_architecture()
    assert [foreign_architecture()] == [image.architecture for image in make_foreign_index().images]


def test_on_an_arm_machine_another_architecture_is_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")

    assert "s390x" == foreign_architecture()


def test_a_broken_layer_is_gzip_but_no_tar() -> None:
    unpacked = gzip.decompress(make_broken_image().layers[0].data)

    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(unpacked)):
        pass


@pytest.mark.parametrize("image", [make_image(), make_index([make_image()])])
def test_an_oci_layout_holds_every_blob_under_its_digest(image: Image | Index, tmp_path: Path) -> None:
    write_oci_layout(image, tmp_path, tag="v1")

    named = json.loads((tmp_path / "index.json").read_text())["manifests"][0]
    assert "v1" == named["annotations"]["org.opencontainers.image.ref.name"]
    assert image.digest == named["digest"]
    files = {f"sha256:{file.name}": file.read_bytes() for file in (tmp_path / "blobs" / "sha256").iterdir()}
    assert {blob.digest: blob.data for blob in (*image.manifests, *image.blobs)} == files


def test_bytes_do_not_show_in_a_repr() -> None:
    assert "data" not in repr(Blob.of(b"data", "text/plain"))
