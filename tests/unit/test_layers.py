"""Which blobs are manifests, and what they say of layers."""

import json

import pytest

from nodeprefetch.pull.tracker import read_layers


def test_a_manifest_tells_its_layers_each_once_and_its_config():
    layers = [{"digest": "sha256:a", "size": 5}, {"digest": "sha256:b", "size": 7}, {"digest": "sha256:a", "size": 5}]
    found = read_layers(json.dumps({"layers": layers, "config": {"digest": "sha256:c", "size": 9}}).encode())

    assert found is not None
    assert ({"sha256:a": 5, "sha256:b": 7}, "sha256:c", 12) == (found.sizes, found.config, found.total)


def test_a_manifest_may_have_no_config_and_a_layer_no_size():
    found = read_layers(b'{"layers": [{"digest": "sha256:a"}, {"digest": "sha256:b", "size": -1}]}')

    assert found is not None
    assert ("", 0) == (found.config, found.total)


# How deep JSON may be depends on the Python: 1,000 up to 3.12, some 10,000 since. What is deeper is refused by all.
@pytest.mark.parametrize(
    "blob",
    [
        b'{"manifests": [{"digest": "sha256:a"}]}',
        b'{"rootfs": {"diff_ids": []}}',
        b'{"layers": [{"size": 4}]}',
        b'{"layers": "many"}',
        b"\x1f\x8b\x08\x00\x00\xff\xfe",
        b"[" * 100_000,
        b'"\xff"',
        b"null",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "layers": []}',
        b'{"layers": [{"digest": "sha256:a", "size": 9223372036854775808}]}',
        b'{"layers": [{"digest": "sha256:a", "size": 9223372036854775807}, {"digest": "sha256:b", "size": 1}]}',
    ],
)
def test_all_else_is_no_manifest(blob):
    assert read_layers(blob) is None
