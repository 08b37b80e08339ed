"""What shows the progress of a run's pulls, and which timeouts follow from that."""

import msgspec
import pytest
import trio

from nodeprefetch.events import AttemptFinished, AttemptStarted, Notice
from nodeprefetch.pull import sources
from nodeprefetch.runtime import download_dirs
from nodeprefetch.settings import AttemptClockKind, FetchSettings
from nodeprefetch.testing import HANG, FakeContainerdApi, FakeImageService, FakeRun
from nodeprefetch.values.retry import RetryPolicy
from tests.support.fake_crio import FakeDirectories

SETTINGS = FetchSettings(
    retry=RetryPolicy(), unseen_retry=RetryPolicy(initial_timeout=300, max_timeout=1200), overall_timeout=5000
)

NO_RESUME = "cri-o does not support resuming pulls"
NOT_VISIBLE = (
    "the progress of CRI-O's pulls is not visible: mount the node's /var/tmp read-only at "
    "/run/nodeprefetch/crio-downloads, or set --crio-download-dir"
)


@pytest.fixture
def looked_at(monkeypatch) -> list[str]:
    """Paths of directories that are looked at."""
    paths = []

    def fake(path: str) -> FakeDirectories:
        paths.append(path)
        return FakeDirectories(path=path)

    monkeypatch.setattr(download_dirs, "DownloadDirectories", fake)
    return paths


async def pull(run: FakeRun, attempts: int) -> None:
    """Until so many attempts at a pull that hangs have been cut."""
    with trio.move_on_after(2200 if attempts > 1 else 302):
        await run.fetch("a:1")
    assert attempts <= len(run.told(AttemptFinished))


def hanging(name: str, **more: object) -> FakeRun:
    settings = msgspec.structs.replace(SETTINGS, **more)
    return FakeRun(service=FakeImageService(pulls={"a:1": [HANG]}, name=name), settings=settings)


@pytest.mark.parametrize("name", ["cri-o", "docker"])
async def test_where_nothing_is_seen_and_nothing_kept_the_timeouts_are_longer(autojump_clock, name):
    run = hanging(name)

    await pull(run, 3)

    assert [300, 600, 1200] == [event.limit for event in run.told(AttemptStarted)][:3]
    assert [300, 600, 1200] == [event.duration for event in run.told(AttemptFinished)][:3]
    assert "timed out after 5m" == run.told(AttemptFinished)[0].error


async def test_a_line_says_what_to_mount(autojump_clock):
    run = hanging("cri-o")

    await pull(run, 1)

    assert [NO_RESUME, NOT_VISIBLE] == [notice.message for notice in run.told(Notice)]
    assert not any(notice.is_warning for notice in run.told(Notice))


@pytest.mark.parametrize("given", [True, False])
async def test_with_the_directory_the_usual_timeouts_hold(autojump_clock, looked_at, tmp_path, monkeypatch, given):
    """It is found at the well-known place, or where the flag says. Of this pull nothing is ever seen."""
    other = tmp_path / "other"
    if given:
        monkeypatch.setattr(sources, "USUAL_DOWNLOAD_DIR", str(tmp_path / "missing"))
    else:
        monkeypatch.setattr(sources, "USUAL_DOWNLOAD_DIR", str(tmp_path))
    run = hanging("cri-o", crio_download_dir=str(other) if given else None)

    await pull(run, 1)

    assert [str(other if given else tmp_path)] == looked_at
    assert 30 == run.told(AttemptStarted)[0].limit
    assert 300 <= run.told(AttemptFinished)[0].duration <= 301.1
    assert NOT_VISIBLE not in [notice.message for notice in run.told(Notice)]


async def test_on_the_wall_clock_the_directory_does_not_shorten_timeouts(autojump_clock, looked_at):
    run = hanging("cri-o", crio_download_dir="/x", attempt_clock=AttemptClockKind.WALL)

    await pull(run, 1)

    assert 300 == run.told(AttemptStarted)[0].limit
    assert 300 == run.told(AttemptFinished)[0].duration


@pytest.mark.parametrize(("resume", "limit"), [(True, 30), (False, 300)])
@pytest.mark.parametrize("clock", AttemptClockKind)
async def test_on_containerd_bytes_are_kept_unless_nobody_wants_it(autojump_clock, resume, limit, clock):
    run = hanging("containerd", resume=resume, attempt_clock=clock)
    run.containerd = FakeContainerdApi()

    await pull(run, 1)

    assert limit == run.told(AttemptStarted)[0].limit
    assert limit == run.told(AttemptFinished)[0].duration


async def test_without_timeouts_for_what_is_not_seen_those_of_all_pulls_hold(autojump_clock):
    run = hanging("cri-o", unseen_retry=None)

    await pull(run, 1)

    assert 30 == run.told(AttemptFinished)[0].duration
