import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.runtime import platforms
from nodeprefetch.runtime.platforms import foreign_platform, node_architecture
from nodeprefetch.testing.images import host_architecture, make_image


def config(architecture: object, os: object = "linux") -> bytes:
    return json.dumps({"architecture": architecture, "os": os}).encode()


@pytest.mark.parametrize(
    ("image", "node"), [("amd64", "amd64"), ("386", "amd64"), ("arm", "arm64"), ("s390x", "s390x")]
)
def test_a_node_runs_programs_of_its_processor(image, node):
    assert "" == foreign_platform(config(image), node)


@pytest.mark.parametrize(
    ("image", "node"), [("arm64", "amd64"), ("amd64", "arm64"), ("arm64", "arm"), ("amd64", "386")]
)
def test_others_are_foreign(image, node):
    assert f"linux/{image}" == foreign_platform(config(image), node)


def test_another_operating_system_is_foreign():
    assert "windows/amd64" == foreign_platform(config("amd64", "windows"), "amd64")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        config(""),
        config(1),
        config("wasm", "wasip1"),
        config("unknown", "unknown"),
    ],
)
def test_what_names_no_platform_is_not_foreign(blob):
    assert "" == foreign_platform(blob, "amd64")


@given(st.text())
def test_no_image_of_this_node_is_foreign_to_it(node):
    assert "" == foreign_platform(config(node), node)


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")])
def test_the_kernel_has_other_names_for_some(monkeypatch, machine, name):
    monkeypatch.setattr(platforms.platform, "machine", lambda: machine)

    assert name == node_architecture()


def test_images_made_for_tests_are_of_this_node():
    assert host_architecture() == node_architecture()
    assert "" == foreign_platform(make_image().config.data, node_architecture())
