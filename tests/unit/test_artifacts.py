import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.runtime.artifacts import is_image_config, is_module_config, read_index, read_manifest
from nodeprefetch.testing.images import make_artifact, make_image, make_index
from tests.support.strange_images import strange_images

MODULE = b'{"architecture":"wasm","os":"wasip1","layerDigests":[]}'
IMAGES = {
    "zstd", "uncompressed", "estargz", "docker", "no-layers", "foreign-layer", "encrypted", "same-layer-twice",
    "sha512", "foreign-platform", "128-layers", "large-manifest",
}  # fmt: skip
ARTIFACTS = {
    "artifact-empty-config", "artifact-tar-layer", "artifact-no-layers", "artifact-image-config-type", "helm", "wasm",
    "cosign", "modelpack", "unknown-layer-type", "no-config-type",
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        make_image().config.data,
        b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
        b'{"rootfs":{"type":"layers","diff_ids":[]}}',
        MODULE,
    ],
)
def test_these_are_configs_of_images(config):
    assert is_image_config(config)


@pytest.mark.parametrize(
    "config",
    [b"{}", b"", b"[]", b"null", b"\xff", b'{"name":"chart"}', b'{"os":null}', b"[" * 100_000, b'"os"', b"\x1f\x8b"],
)
def test_these_are_not(config):
    assert not is_image_config(config)
    assert not is_module_config(config)


def test_a_module_has_no_root_file_system():
    assert [True, False] == [is_module_config(MODULE), is_module_config(make_image().config.data)]


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers()))
def test_what_names_neither_a_system_nor_a_root_file_system_is_no_image(document):
    document = {key: value for key, value in document.items() if key not in {"os", "rootfs"}}

    assert not is_image_config(json.dumps(document).encode())


def test_manifests_say_whether_they_are_of_an_image():
    made = strange_images()
    read = {word: read_manifest(made[word].manifest.data) for word in IMAGES | ARTIFACTS}

    assert IMAGES == {word for word, manifest in read.items() if manifest.is_image}
    assert {"application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.model.manifest.v1+json", ""} == {
        read[word].type for word in ("helm", "modelpack", "no-config-type")
    }
    assert "application/vnd.dev.cosign.simplesigning.v1+json" == read["cosign"].type


def test_a_manifest_without_layers_may_say_so_by_null():
    document = json.loads(make_artifact().manifest.data) | {"layers": None}

    assert () == read_manifest(json.dumps(document).encode()).layers


@pytest.mark.parametrize("blob", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"config":1,"manifests":1}'])
def test_anything_else_is_neither_a_manifest_nor_an_index(blob):
    assert (None, None) == (read_manifest(blob), read_index(blob))


def test_a_manifest_is_no_index_and_an_index_no_manifest():
    image = make_image()
    index = make_index([image])

    assert (None, None) == (read_index(image.manifest.data), read_manifest(index.manifest.data))
    assert [image.digest] == [each.digest for each in read_index(index.manifest.data).manifests]
