"""What `fetch` says of images that few people have seen, and of what is no image: the truth, also the second time."""

from dataclasses import replace

import pytest

from nodeprefetch.testing.images import Image, Index
from nodeprefetch.testing.registry import FakeRegistry
from tests.conftest import CONTAINERDS
from tests.integration.program import Ended, RunFetch
from tests.support.containerd import Containerd
from tests.support.strange_images import strange_images

pytestmark = pytest.mark.containerd

USABLE = {
    "zstd",
    "uncompressed",
    "estargz",
    "docker",
    "docker-list",
    "no-layers",
    "same-layer-twice",
    "128-layers",
    "attested",
    "foreign-layer",
    "nested-index",
    "large-manifest",
    "foreign-platform",
}
REFUSED = {
    "huge-manifest": "large_manifest",
    "no-platform": "no_platform",
    "windows": "no_platform",
    "schema1": "old_manifest",
    "one-unknown-layer": "bad_manifest",
    "missing-diff-id": "bad_manifest",
    "wrong-diff-id": "bad_layer",
    "encrypted": "encrypted",
    "wasm-index": "no_platform",
    "empty-index": "no_platform",
    **dict.fromkeys(
        (
            "no-config-type",
            "unknown-layer-type",
            "artifact-empty-config",
            "another-artifact-empty-config",
            "artifact-tar-layer",
            "artifact-no-layers",
            "artifact-empty-layer",
            "artifact-image-config-type",
            "helm",
            "cosign",
            "modelpack",
            "index-of-artifacts",
        ),
        "artifact",
    ),
}
"""What both versions of containerd refuse, or else `fetch`, with the reason."""

SHA512 = {"sha512", "sha512-layer"}
MODULES = {"wasm"}
"""WebAssembly modules: version 2 fetches all of them. Version 1 fails, but lists them afterwards, and has the bytes."""


def said(ended: Ended, names: dict[str, str]) -> dict[str, str]:
    """Word to outcome, or to the reason of a failure."""
    results = {word: ended.result(name) for word, name in names.items()}
    return {word: line.get("reason") or line["msg"].removeprefix("image ") for word, line in results.items()}


@pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)
def test_strange_images_are_present_or_refused_with_the_reason(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    containerd.use_registry("strange.test", fake_registry.url)
    images = strange_images(foreign_url=f"{fake_registry.url}/v2/elsewhere/blobs/")
    foreign = images["foreign-layer"]
    assert isinstance(foreign, Image)
    fake_registry.add("elsewhere:1", foreign)
    served: dict[str, Image | Index] = {**images, "foreign-layer": replace(foreign, layers=())}
    names = {word: f"strange.test/{word}:1" for word in served}
    for word, image in served.items():
        fake_registry.add(f"{word}:1", image)
    is_first = containerd.version.startswith("1.")

    first = run_fetch(containerd, *names.values(), overall_timeout="4m")
    second = run_fetch(containerd, *names.values(), overall_timeout="4m")

    for ended, there in ((first, "succeeded"), (second, "present")):
        assert 1 == ended.code
        assert {
            **dict.fromkeys(USABLE, there),
            **REFUSED,
            **dict.fromkeys(SHA512, "digest_algorithm" if is_first else there),
            **dict.fromkeys(MODULES, "bad_manifest" if is_first and ended is first else there),
        } == said(ended, names)
    (foreign_platform,) = [line["msg"] for line in first.log if line["msg"].startswith(names["foreign-platform"])]
    assert foreign_platform.endswith(": its programs do not run on this node without emulation")
    assert {1} == {len(first.lines("pulling", image=names[word])) for word in REFUSED}
