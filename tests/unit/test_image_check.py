"""What containerd lists as an image is looked at before it counts."""

import pytest
import trio

from nodeprefetch.events import AttemptFinished, Outcome
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.runtime.image_check import ImageCheck
from nodeprefetch.testing.containerd_api import FakeContainerdApi
from nodeprefetch.testing.images import Image, Index, foreign_architecture, make_artifact, make_image, make_index
from nodeprefetch.testing.run import FakeRun
from nodeprefetch.testing.service import FakeImageService
from nodeprefetch.values.image_ref import ImageRef
from tests.support.strange_images import strange_images

NAME = "docker.io/library/a:1"
REF = ImageRef.parse("a:1")
STRANGE = strange_images()


def holding(made: Image | Index, *snapshotters: str, without: int = 0, name: str = NAME) -> FakeContainerdApi:
    """containerd with an image under a name, unpacked for these snapshotters, without its first layers."""
    api = FakeContainerdApi()
    hold(api, made, *snapshotters, without=without, name=name)
    return api


def hold(api: FakeContainerdApi, made: Image | Index, *snapshotters: str, without: int = 0, name: str = NAME) -> None:
    gone = {blob.digest for blob in made.images[0].layers[:without]}
    blobs = {blob.digest: blob.data for blob in (*made.manifests, *made.blobs) if blob.digest not in gone}
    api.blobs |= blobs
    api.record(name, made.digest, blobs=blobs)
    api.unpacked[made.images[0].id] = set(snapshotters)


async def test_one_call_is_enough_for_an_unpacked_image(autojump_clock):
    api = holding(make_image(), "overlayfs", without=1)

    assert await ImageCheck(api).is_usable(REF, make_image().id)
    assert ["snapshotters"] == api.asked


@pytest.mark.parametrize("word", ["no-layers", "foreign-platform", "wasm", "encrypted", "sha512"])
async def test_what_is_not_unpacked_can_be_used_if_all_of_it_is_there(autojump_clock, word):
    made = STRANGE[word]

    assert await ImageCheck(holding(made)).is_usable(REF, made.images[0].id)


async def test_an_image_of_an_index_is_found_by_its_id(autojump_clock):
    index = make_index([make_image(architecture="arm"), make_image(seed=2)])
    api = holding(index)
    del api.blobs[index.images[1].layers[0].digest]

    assert await ImageCheck(api).is_usable(REF, index.images[0].id)
    assert not await ImageCheck(api).is_usable(REF, index.images[1].id)


async def test_an_image_whose_layers_are_gone_is_pulled_again(autojump_clock):
    image = make_image()
    service = FakeImageService(pulls={"a:1": [image.id]}, images=[ImageRecord(id=image.id, repo_tags=(NAME,))])
    run = FakeRun(service=service, containerd=holding(image, without=1))
    run.containerd.unpacked = {}

    with trio.fail_after(60):
        await run.fetch("a:1")

    assert 4 == len(service.calls)  # three more: the pulls of this fake bring nothing
    assert "content_gone" == run.result("a:1").reason


@pytest.mark.parametrize(
    "word",
    [
        "artifact-empty-config", "artifact-tar-layer", "artifact-no-layers", "artifact-image-config-type", "helm",
        "cosign", "modelpack", "unknown-layer-type", "no-config-type", "index-of-artifacts",
    ],
)  # fmt: skip
async def test_artifacts_are_refused_also_if_all_of_them_is_there(autojump_clock, word):
    made = STRANGE[word]

    with pytest.raises(RuntimeFaultError) as caught:
        await ImageCheck(holding(made)).is_usable(REF, made.images[0].id)

    assert "artifact" == caught.value.fault.reason


async def test_the_error_says_what_it_is(autojump_clock):
    made = STRANGE["helm"]

    with pytest.raises(RuntimeFaultError, match=r"artifact of type application/vnd\.cncf\.helm\.config\.v1\+json: "):
        await ImageCheck(holding(made)).is_usable(REF, made.images[0].id)


async def test_artifacts_that_share_an_id_do_not_vouch_for_each_other(autojump_clock):
    """All artifacts with the empty config have one ID, so that CRI knows them as one image of several names."""
    one, other = make_artifact(seed=1), make_artifact(seed=2)
    names = (NAME, "docker.io/library/b:1")
    api = holding(one)
    hold(api, other, without=1, name=names[1])
    by_digest = f"docker.io/library/a@{one.digest}"
    api.record(by_digest, one.digest)
    listed = ImageRecord(id=one.id, repo_tags=names, repo_digests=(by_digest,))
    listed_pulls = dict.fromkeys(("a:1", "b:1", "c:1"), (one.id,))
    run = FakeRun(service=FakeImageService(images=[listed], pulls=listed_pulls), containerd=api)
    images = ("a:1", "b:1", "c:1", by_digest)

    await run.fetch(*images)

    assert one.id == other.id
    assert [(Outcome.FAILED, "artifact", "")] * 4 == [
        (result.outcome, result.reason, result.digest) for result in map(run.result, images)
    ]
    assert [1, 1, 1, 0] == [run.result(name).attempts for name in images]
    assert {} == run.containerd.leases_held
    assert {("permanent", "artifact", "")} == {
        (end.error_class, end.reason, end.image_id) for end in run.told(AttemptFinished)
    }


async def test_an_artifact_gives_way_to_an_image_that_its_tag_has_moved_to(autojump_clock):
    artifact, image = make_artifact(), make_image()
    api = holding(artifact)
    hold(api, image, "overlayfs", name="docker.io/library/other:1")
    listed = ImageRecord(id=artifact.id, repo_tags=(NAME,))
    run = FakeRun(service=FakeImageService(images=[listed], pulls={"a:1": [image.id]}), containerd=api)

    await run.fetch("a:1")

    assert (Outcome.SUCCEEDED, "") == (run.result("a:1").outcome, run.result("a:1").error)


async def test_a_runtime_that_can_use_artifacts_is_believed(autojump_clock):
    """CRI-O 1.33 and newer."""
    service = FakeImageService(
        name="cri-o",
        images=[ImageRecord(id="1" * 64, repo_tags=(NAME,))],
        pulls={"b:1": [make_artifact().id]},
    )
    run = FakeRun(service=service)

    await run.fetch("a:1", "b:1")

    assert [Outcome.PRESENT, Outcome.SUCCEEDED] == [run.result(name).outcome for name in ("a:1", "b:1")]


async def test_a_pull_that_failed_for_what_it_is_says_so(autojump_clock):
    """containerd 1 fails to unpack an artifact after it has recorded its name."""
    text = "failed to unpack image on snapshotter overlayfs: mismatched image rootfs and manifest layers"
    error = RuntimeFaultError.from_status("UNKNOWN", f'failed to pull and unpack image "{NAME}": {text}')
    made = STRANGE["helm"]

    assert "artifact" == (await ImageCheck(holding(made)).explained(REF, error)).fault.reason
    assert error is await ImageCheck(holding(make_image())).explained(REF, error)
    assert error is await ImageCheck(holding(STRANGE["wasm"])).explained(REF, error)
    assert error is await ImageCheck(FakeContainerdApi()).explained(REF, error)
    assert error is await ImageCheck().explained(REF, error)


async def test_an_error_of_the_registry_needs_no_explanation(autojump_clock):
    api = holding(STRANGE["helm"])
    error = RuntimeFaultError.from_status("UNKNOWN", "unexpected status: 500 Internal Server Error")

    assert error is await ImageCheck(api).explained(REF, error)
    assert [] == api.asked


async def test_an_image_must_be_unpacked_for_the_snapshotter_of_the_runtime_handler(autojump_clock):
    image = make_image()
    check = ImageCheck(holding(image, "overlayfs"), snapshotter="native")

    assert not await check.is_usable(REF, image.id)
    with pytest.raises(RuntimeFaultError, match="not unpacked for the snapshotter native") as caught:
        await check.check_pulled(REF, image.id)
    assert "not_unpacked" == caught.value.fault.reason
    assert await ImageCheck(holding(image, "overlayfs", "native"), snapshotter="native").is_usable(REF, image.id)
    assert await ImageCheck(holding(STRANGE["no-layers"]), snapshotter="native").is_usable(
        REF, STRANGE["no-layers"].images[0].id
    )


async def test_a_pull_says_for_which_other_platform_an_image_is(autojump_clock):
    made = STRANGE["foreign-platform"]

    for snapshotters in ((), ("overlayfs",)):
        check = ImageCheck(holding(made, *snapshotters))
        assert f"linux/{foreign_architecture()}" == await check.check_pulled(REF, made.images[0].id)
    assert "" == await ImageCheck(holding(make_image(), "overlayfs")).check_pulled(REF, make_image().id)


class Silent(FakeContainerdApi):
    async def snapshotters(self, config):
        await trio.sleep_forever()


async def test_where_containerd_says_nothing_an_image_counts(autojump_clock):
    """Without an answer for 5 s, with an error, without such a config, and without the manifest."""
    away = holding(make_artifact())
    away.gone = RuntimeFaultError.gone("away")
    unnamed = holding(make_image(), without=1, name="docker.io/library/b:1")
    unnamed.unpacked = {}

    for where in (Silent(), away, FakeContainerdApi(), unnamed):
        assert "" == await ImageCheck(where).check_pulled(REF, make_image().id)

    assert 5 == trio.current_time()
