import json

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.events import AttemptFinished, Outcome
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.artifacts import ArtifactCheck, is_image_config
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing.containerd_api import FakeContainerdApi
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.run import FakeRun
from nodeprefetch.testing.service import FakeImageService

ARTIFACT, IMAGE = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def api() -> FakeContainerdApi:
    found = FakeContainerdApi()
    found.blobs = {ARTIFACT: b"{}", IMAGE: make_image().config.data}
    return found


@pytest.mark.parametrize(
    "config",
    [
        make_image().config.data,
        b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
        b'{"rootfs":{"type":"layers","diff_ids":[]}}',
        b'{"architecture":"wasm","os":"wasip1","layerDigests":[]}',
    ],
)
def test_these_are_configs_of_images(config):
    assert is_image_config(config)


@pytest.mark.parametrize(
    "config", [b"{}", b"", b"[]", b"\xff", b'{"name":"chart"}', b'{"os":null}', b"[" * 100_000, b'"os"', b"\x1f\x8b"]
)
def test_these_are_not(config):
    assert not is_image_config(config)


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers()))
def test_what_names_neither_a_system_nor_a_root_file_system_is_no_image(document):
    document = {key: value for key, value in document.items() if key not in {"os", "rootfs"}}

    assert not is_image_config(json.dumps(document).encode())


async def test_an_artifact_that_containerd_has_pulled_has_failed_at_the_first_attempt(autojump_clock):
    service = FakeImageService(pulls={"a:1": [ARTIFACT], "b:1": [IMAGE]})
    run = FakeRun(service=service, containerd=api())

    await run.fetch("a:1", "b:1")

    assert (Outcome.FAILED, 1) == (run.result("a:1").outcome, run.result("a:1").attempts)
    assert Outcome.SUCCEEDED is run.result("b:1").outcome
    assert {} == run.containerd.leases_held
    ends = {event.image: (event.error_class, event.reason) for event in run.told(AttemptFinished)}
    assert {"a:1": ("permanent", "artifact"), "b:1": ("", "")} == ends


async def test_an_artifact_that_containerd_holds_has_failed_without_an_attempt(autojump_clock):
    held = [ImageRecord(id=ARTIFACT, repo_tags=("docker.io/library/a:1",))]
    service = FakeImageService(images=held)
    run = FakeRun(service=service, containerd=api())

    await run.fetch("a:1")

    assert (Outcome.FAILED, 0, "artifact") == (
        run.result("a:1").outcome,
        run.result("a:1").attempts,
        run.result("a:1").reason,
    )


class Silent(FakeContainerdApi):
    async def read_blob(self, digest, *, most):
        await trio.sleep_forever()


async def test_where_the_config_cannot_be_read_an_image_is_taken_for_one(autojump_clock):
    """Without an answer for 5 s, with an error, and without such a blob."""
    away = api()
    away.gone = RuntimeFaultError.gone("away")

    for where in (Silent(), away, FakeContainerdApi()):
        await ArtifactCheck(where).pass_image("a:1", ARTIFACT)

    assert 5 == trio.current_time()
