"""The fake CRI server, asked by our client."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.errors import RpcError
from nodeprefetch.rpc import cri, open_channel
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing.images import make_foreign_index, make_image, make_index
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.support.cri_probe import answers_cri, call_unary
from tests.support.cri_server import FROM_REGISTRY, HANG, FakeCriServer, Hang, Pull, Refusal
from tests.support.proxy import FaultProxy, Passage

ID = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


@pytest.fixture
def server(short_path: Path) -> Iterator[FakeCriServer]:
    with FakeCriServer(short_path / "cri.sock", otherwise=FROM_REGISTRY) as running:
        yield running


@asynccontextmanager
async def connected(server: FakeCriServer) -> AsyncIterator[CriImageService]:
    async with open_channel(f"unix://{server.socket}") as channel:
        yield CriImageService(channel)


async def pulls_until(server: FakeCriServer, is_enough: Callable[[tuple[Pull, ...]], bool]) -> tuple[Pull, ...]:
    return await trio.to_thread.run_sync(server.wait_until, is_enough)


async def test_it_is_ready_for_pulls_and_not_for_pods(server: FakeCriServer) -> None:
    async with open_channel(f"unix://{server.socket}") as channel:
        reply = await cri.RuntimeServiceStub(channel).status(cri.StatusRequest())

    assert reply.status is not None
    assert {"RuntimeReady": True, "NetworkReady": False} == {each.type: each.status for each in reply.status.conditions}


async def test_outcomes_come_in_order_and_the_last_one_stays(server: FakeCriServer) -> None:
    server.plan("app:1", Refusal("UNKNOWN", "of a “secret”"), RuntimeFaultError.from_status("NOT_FOUND", "gone"), ID)
    async with connected(server) as service:
        with pytest.raises(RuntimeFaultError, match="of a “secret”"):
            await service.pull_image("app:1")
        with pytest.raises(RuntimeFaultError, match="gone") as caught:
            await service.pull_image("docker.io/library/app:1")

        assert "NOT_FOUND" == caught.value.code
        assert [ID, ID] == [await service.pull_image("app:1") for _ in range(2)]


async def test_an_image_outside_the_script_is_not_found(short_path: Path) -> None:
    with FakeCriServer(short_path / "cri.sock") as server:
        async with connected(server) as service:
            with pytest.raises(RuntimeFaultError, match=r"docker\.io/library/none:latest: not found") as caught:
                await service.pull_image("none")
    assert "NOT_FOUND" == caught.value.code


async def test_a_pulled_image_is_held_by_its_names(server: FakeCriServer) -> None:
    server.plan("quay.io/app:1", ID)
    server.plan(f"quay.io/other@{OTHER}", ID)
    async with connected(server) as service:
        assert await service.image_status("quay.io/app:1") is None
        await service.pull_image("quay.io/app:1")
        await service.pull_image(f"quay.io/other:2@{OTHER}")

        held = ImageRecord(
            id=ID,
            repo_tags=("quay.io/app:1",),
            repo_digests=(f"quay.io/app@{ID}", f"quay.io/other@{OTHER}"),
            size=1000,
        )
        assert (held,) == await service.list_images()
        for name in ("quay.io/app:1", f"quay.io/other@{OTHER}", ID, "1" * 64):
            assert held == await service.image_status(name)


async def test_a_tag_moves_to_the_new_image(server: FakeCriServer) -> None:
    server.plan("app:1", ID, OTHER)
    async with connected(server) as service:
        await service.pull_image("app:1")
        await service.pull_image("app:1")

        assert {ID: (), OTHER: ("docker.io/library/app:1",)} == {
            record.id: record.repo_tags for record in await service.list_images()
        }


async def test_credentials_and_metadata_are_remembered(server: FakeCriServer) -> None:
    server.plan("app:1", ID)
    async with open_channel(f"unix://{server.socket}") as channel:
        request = cri.PullImageRequest(
            image=cri.ImageSpec(image="app:1"), auth=cri.AuthConfig(username="ann", password="1")
        )
        await cri.ImageServiceStub(channel).pull_image(request, metadata={"containerd-lease": "mine"})
        await CriImageService(channel).pull_image("app:1")

    first, second = server.pulls
    assert ("app:1", AuthConfig(username="ann", password="1"), "mine") == (
        first.image,
        first.auth,
        first.metadata["containerd-lease"],
    )
    assert second.auth is None
    assert first.started <= (first.ended or 0) <= second.started


async def test_a_pull_may_take_its_time(server: FakeCriServer) -> None:
    server.plan("app:1", Hang(seconds=0.05, then=ID))
    async with connected(server) as service:
        assert ID == await service.pull_image("app:1")

    (pull,) = server.pulls
    assert 0.04 <= (pull.ended or 0) - pull.started
    assert not pull.was_cancelled


async def test_a_pull_that_hangs_is_seen_to_be_cancelled(server: FakeCriServer) -> None:
    server.plan("app:1", HANG, ID)
    async with connected(server) as service:
        with trio.move_on_after(0.05):
            await service.pull_image("app:1")
        await pulls_until(server, lambda pulls: pulls[0].ended is not None)
        await service.pull_image("app:1")

    assert [True, False] == [pull.was_cancelled for pull in server.pulls]


@pytest.mark.parametrize("end", [FakeCriServer.stop, FakeCriServer.kill])
async def test_it_goes_away_in_mid_pull_and_comes_back(
    server: FakeCriServer, end: Callable[[FakeCriServer], None]
) -> None:
    server.plan("app:1", HANG, ID)
    async with connected(server) as service:

        async def cut() -> None:
            await pulls_until(server, lambda pulls: len(pulls) == 1)
            end(server)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            with pytest.raises((RuntimeFaultError, RpcError)):
                await service.pull_image("app:1")
        assert (end is FakeCriServer.kill) == server.socket.exists()
        assert not answers_cri(server.socket)

        server.start()
        server.start()

        assert ID == await service.pull_image("app:1")
    assert [False, False] == [pull.was_cancelled for pull in server.pulls]


def test_grpclib_understands_it_too(server: FakeCriServer) -> None:
    reply = cri.VersionResponse.parse(call_unary(server.socket, "/runtime.v1.RuntimeService/Version", b""))

    assert "containerd" == reply.runtime_name


@pytest.mark.parametrize("with_index", ["image", "index"])
async def test_an_image_is_really_downloaded(
    server: FakeCriServer, fake_registry: FakeRegistry, with_index: str
) -> None:
    image = make_image((1000, 200_000), seed="downloaded")
    whole = image if with_index == "image" else make_index([*make_foreign_index().images, image])
    name = fake_registry.add("team/app:1", whole)
    async with connected(server) as service:
        assert image.id == await service.pull_image(name)
        assert image.id == await service.pull_image(name.replace(":1", f"@{whole.digest}"))

        (record,) = await service.list_images()

    repository = name.removesuffix(":1")
    assert (
        ImageRecord(id=image.id, repo_tags=(name,), repo_digests=(f"{repository}@{whole.digest}",), size=image.size)
        == record
    )
    assert {blob.digest for blob in image.blobs} <= {request.reference for request in fake_registry.requests}


async def test_credentials_reach_the_registry(server: FakeCriServer, fake_registry: FakeRegistry) -> None:
    name = fake_registry.add("team/app:1", make_image())
    fake_registry.require_basic({"ann": "1"})
    async with connected(server) as service:
        with pytest.raises(RuntimeFaultError, match="401 Unauthorized"):
            await service.pull_image(name)
        await service.pull_image(name, AuthConfig(username="ann", password="1"))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.status(404), "not found"),
        (Fault.status(503), "unexpected status from GET request .* 503 Service Unavailable"),
        (Fault.wrong_bytes(), "unexpected commit digest"),
        (Fault.drop(), "EOF"),
        (Fault.reset(), "reset by peer"),
    ],
)
async def test_a_download_fails_for_its_reason(
    server: FakeCriServer, fake_registry: FakeRegistry, fault: Fault, error: str
) -> None:
    name = fake_registry.add("team/app:1", make_image())
    fake_registry.fail("layer", fault)
    async with connected(server) as service:
        with pytest.raises(RuntimeFaultError, match=error):
            await service.pull_image(name)
        await service.pull_image(name)


async def test_a_stalled_download_is_cancelled_with_its_call(
    server: FakeCriServer, fake_registry: FakeRegistry
) -> None:
    fake_registry.add("team/app:1", make_image())
    host, _, port = fake_registry.address.partition(":")
    with FaultProxy((host, int(port)), [Passage.stall()]) as proxy:
        async with connected(server) as service:
            with trio.move_on_after(0.1):
                await service.pull_image(f"{proxy.address}/team/app:1")
            await trio.to_thread.run_sync(proxy.wait_until, lambda connections: connections[0].ended is not None)

            await service.pull_image(f"{proxy.address}/team/app:1")
