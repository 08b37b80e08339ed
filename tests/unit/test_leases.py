"""The leases of a run on virtual time: when they are made, for how long, when they go. Trio's time is the wall's."""

import math
import time

import pytest
import trio

from nodeprefetch.cli.flag_settings import fetch_settings
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.events import AttemptFinished, AttemptStarted, Notice, Outcome, RunEnd
from nodeprefetch.pull.disk_space import Space
from nodeprefetch.pull.leases import Leases
from nodeprefetch.runtime.api import ImageRecord, Lease
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.runtime.lease_labels import new_lease, pull_lease
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import HANG, FakeContainerdApi, FakeImageService, FakeRun, Hang
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.sizes import DiskFloor

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
A = ImageRef.parse("a:1")
NAME = "docker.io/library/a:1"
IMAGE = "sha256:" + "1" * 64

GONE = RuntimeFaultError.gone("connection refused")
DENIED = RuntimeFaultError.from_status("PERMISSION_DENIED", "no")
FULL = RuntimeFaultError("no space left", fault=Fault(kind=FaultClass.NO_SPACE, reason="no_space"))
LEASE_GONE = RuntimeFaultError.from_status("NOT_FOUND", "lease does not exist: not found")
BROKEN = RuntimeFaultError("403", fault=Fault(kind=FaultClass.PERMANENT, reason="server_error"))


def leases_on(api, told=None, *, instance="one", run="run", ends=20 * MINUTE):
    told = [] if told is None else told
    return Leases(api, told.append, instance=instance, run=run, ends=lambda: ends, wall=trio.current_time)


async def put(api, *, image=NAME, instance="one", run="earlier", expires_at=HOUR):
    """A lease of an earlier run."""
    lease = new_lease(image, instance=instance, run=run, expires_at=expires_at)
    await api.create_lease(lease.id, expires_at=expires_at, labels=lease.labels)
    api.asked.clear()
    return lease.id


def held(api):
    """Instance, image and end of each lease."""
    ours = [one for lease in api.leases_held.values() if (one := pull_lease(lease))]
    return [(one.instance, one.image, one.expires_at) for one in ours]


async def test_a_lease_outlives_its_run_by_an_hour(autojump_clock):
    api = FakeContainerdApi()
    leases = leases_on(api, ends=20 * MINUTE)
    await trio.sleep(5 * MINUTE)

    lease = await leases.obtain(A)

    assert [("one", NAME, 80 * MINUTE)] == held(api)
    assert {lease} == set(api.leases_held)
    assert lease == await leases.obtain(A)
    assert ["leases", "create_lease"] == api.asked


async def test_every_image_has_its_own(autojump_clock):
    api = FakeContainerdApi()
    leases = leases_on(api)

    assert 2 == len({await leases.obtain(A), await leases.obtain(ImageRef.parse("b:1"))})


async def test_one_that_an_earlier_run_left_is_used_if_it_outlives_this_run_by_ten_minutes(autojump_clock):
    api = FakeContainerdApi()
    await put(api, expires_at=25 * MINUTE)
    lasting = await put(api, expires_at=30 * MINUTE)

    assert lasting == await leases_on(api, ends=20 * MINUTE).obtain(A)
    assert ["leases"] == api.asked


async def test_one_that_ends_too_soon_is_followed_by_another_and_both_go_afterwards(autojump_clock):
    api = FakeContainerdApi()
    old = await put(api, expires_at=30 * MINUTE - 1)
    leases = leases_on(api, ends=20 * MINUTE)

    new = await leases.obtain(A)

    assert {old, new} == set(api.leases_held)
    await leases.release(A)
    assert {} == api.leases_held


async def test_what_others_have_left_is_neither_used_nor_deleted(autojump_clock):
    api = FakeContainerdApi()
    other_instance = await put(api, instance="two", expires_at=DAY)
    other_image = await put(api, image="docker.io/library/b:1", expires_at=DAY)
    await api.create_lease("foreign", expires_at=DAY, labels={"nodeprefetch.io/image": NAME})
    leases = leases_on(api)

    mine = await leases.obtain(A)
    assert mine not in {other_instance, other_image, "foreign"}
    await leases.release(A)

    assert {other_instance, other_image, "foreign"} == set(api.leases_held)


async def test_a_later_runs_lease_is_left_to_it(autojump_clock):
    api = FakeContainerdApi()
    leases = leases_on(api)
    await trio.sleep(1)
    later = await put(api, run="later", expires_at=DAY)

    assert later != await leases.obtain(A)
    await leases.settle([])

    assert {later} == set(api.leases_held)


async def test_two_runs_that_make_the_same_at_once_share_it(autojump_clock):
    api = FakeContainerdApi()

    assert await leases_on(api, run="r1").obtain(A) == await leases_on(api, run="r2").obtain(A)


async def test_a_clock_that_jumps_ahead_brings_a_new_lease(autojump_clock):
    api = FakeContainerdApi()
    wall = 0.0
    leases = Leases(api, lambda _: None, instance="", run="r", ends=lambda: 20 * MINUTE, wall=lambda: wall)
    first = await leases.obtain(A)

    wall = DAY
    second = await leases.obtain(A)

    assert first != second
    assert ("", NAME, DAY + 80 * MINUTE) in held(api)


async def test_a_run_without_end_has_leases_of_thirty_days_and_replaces_them(autojump_clock):
    api = FakeContainerdApi()
    leases = leases_on(api, ends=math.inf)
    first = await leases.obtain(A)
    await trio.sleep(14 * DAY)
    assert first == await leases.obtain(A)
    await trio.sleep(2 * DAY)

    assert first != await leases.obtain(A)
    assert [30 * DAY, 46 * DAY] == [end for _, _, end in held(api)]


async def test_after_the_third_loss_an_image_is_pulled_without(autojump_clock):
    api = FakeContainerdApi()
    leases = leases_on(api)
    lease = await leases.obtain(A)
    for _ in range(2):
        await api.delete_lease(lease)
        lease = await leases.obtain(A, lease)
        assert lease

    assert await leases.obtain(A, lease) == ""
    assert await leases.obtain(A) == ""
    assert await leases.obtain(ImageRef.parse("b:1"))


async def test_an_error_is_told_once_and_pulls_go_on_without(autojump_clock):
    api, told = FakeContainerdApi(gone=DENIED), []
    leases = leases_on(api, told)

    assert ["", "", ""] == [await leases.obtain(A), await leases.obtain(A), await leases.obtain(ImageRef.parse("b"))]

    (notice,) = told
    assert "continuing without leases: interrupted pulls will start over and report no progress: no" == notice.message
    assert notice.is_warning
    assert ["leases"] == api.asked


async def test_a_runtime_that_does_not_answer_is_told_after_ten_seconds(autojump_clock):
    class Silent(FakeContainerdApi):
        async def create_lease(self, lease_id, *, expires_at, labels):
            await trio.sleep(math.inf)

    told = []
    leases = leases_on(Silent(), told)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leases.obtain, A)
        nursery.start_soon(leases.obtain, ImageRef.parse("b:1"))

    assert 10 == trio.current_time()
    assert [True] == [notice.message.endswith(": no answer in 10s") for notice in told]


@pytest.mark.parametrize("error", [GONE, FULL])
def test_what_the_pull_meets_too_is_not_told_and_passes(error):
    async def main():
        api, told = FakeContainerdApi(gone=error), []
        leases = leases_on(api, told)
        assert await leases.obtain(A) == ""
        api.gone = None
        assert await leases.obtain(A)
        assert [] == told

    trio.run(main)


async def test_at_the_end_what_is_not_missing_goes_and_what_is_missing_stays(autojump_clock):
    api = FakeContainerdApi()
    await put(api, image="docker.io/library/left-the-list:1", expires_at=DAY)
    missing = await put(api, image="docker.io/library/b:1", expires_at=DAY)
    leases = leases_on(api)
    await leases.obtain(A)

    await leases.settle([ImageRef.parse("b:1")])

    assert {missing} == set(api.leases_held)


async def test_an_instance_without_a_name_leaves_what_may_be_another_runs(autojump_clock):
    """Its run is over an hour before it expires."""
    api = FakeContainerdApi()
    await put(api, image="over", instance="", expires_at=HOUR + 99)
    under_way = await put(api, image="under way", instance="", expires_at=HOUR + 101)
    await trio.sleep(100)
    leases = leases_on(api, instance="")
    await leases.obtain(A)

    await leases.settle([])

    assert {under_way} == set(api.leases_held)


@pytest.mark.parametrize(
    ("error", "text"),
    [(GONE, "connection refused"), (DENIED, "no")],
)
def test_what_cannot_be_deleted_is_said_at_the_end(error, text):
    async def main():
        api, told = FakeContainerdApi(), []
        leases = leases_on(api, told)
        await leases.obtain(A)
        api.gone = error
        await leases.release(A)
        assert [] == told
        await leases.settle([])
        (notice,) = told
        assert f"could not delete some leases; they will expire: {text}" == notice.message
        assert not notice.is_warning

    trio.run(main)


async def test_deleting_takes_five_seconds_at_most(autojump_clock):
    class Silent(FakeContainerdApi):
        async def delete_lease(self, lease_id):
            await trio.sleep(math.inf)

    told = []
    leases = leases_on(Silent(), told)
    await leases.obtain(A)

    await leases.release(A)
    assert 5 == trio.current_time()
    await leases.settle([])
    assert 10 == trio.current_time()
    assert [True] == [notice.message.endswith(": no answer in 5s") for notice in told]


# A run of fetch.


async def test_a_run_pulls_with_a_lease_and_leaves_none(autojump_clock):
    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [HANG, IMAGE], "b:1": [IMAGE]})
    run = FakeRun(service=service, containerd=api, settings=FetchSettings(instance="one", yields=False))

    await run.fetch("a:1", "b:1")

    of_a, of_b = ({call.lease for call in service.calls if call.image == image} for image in ("a:1", "b:1"))
    assert [1, 1, 2] == [len(of_a), len(of_b), len(of_a | of_b)]
    assert {} == api.leases_held
    assert 1 == api.asked.count("leases")
    assert 2 == api.asked.count("create_lease")


async def test_what_is_present_costs_one_look_at_its_config_and_one_question_at_the_end(autojump_clock):
    api = FakeContainerdApi()
    service = FakeImageService(images=[ImageRecord(id=IMAGE, repo_tags=(NAME,))])

    await FakeRun(service=service, containerd=api).fetch("a:1")

    assert ["snapshotters", "leases"] == api.asked


async def test_a_lease_goes_when_its_image_is_there_not_when_the_run_ends(autojump_clock):
    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [IMAGE], "b:1": [Hang(10, then=IMAGE)]})
    run = FakeRun(service=service, containerd=api)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch, "a:1", "b:1")
        await trio.sleep(5)
        assert ["docker.io/library/b:1"] == [image for _, image, _ in held(api)]


@pytest.mark.parametrize("end", [RunEnd.TIMED_OUT, RunEnd.STOPPED])
async def test_a_run_that_is_cut_keeps_the_leases_of_what_is_missing(autojump_clock, end):
    async def signals():
        await trio.sleep(100)
        yield 15

    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [HANG], "b:1": [IMAGE], "c:1": [BROKEN]})
    settings = FetchSettings(overall_timeout=1000, instance="one")
    run = FakeRun(
        service=service, containerd=api, settings=settings, signals=signals() if end is RunEnd.STOPPED else None
    )

    report = await run.fetch("a:1", "b:1", "c:1")

    assert end is report.end
    assert [NAME, "docker.io/library/c:1"] == sorted(image for _, image, _ in held(api))


async def test_a_lease_that_is_gone_is_made_again_within_the_attempt(autojump_clock):
    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [LEASE_GONE, LEASE_GONE, IMAGE]})
    run = FakeRun(service=service, containerd=api)

    report = await run.fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert [0, 0, 0] == service.call_times
    assert all(call.lease for call in service.calls)
    assert 3 == api.asked.count("create_lease")
    assert 1 == len(run.told(AttemptStarted))
    assert [""] == [event.error for event in run.told(AttemptFinished)]


async def test_where_leases_are_always_gone_the_image_is_pulled_without(autojump_clock):
    service = FakeImageService(pulls={"a:1": [LEASE_GONE, LEASE_GONE, LEASE_GONE, IMAGE]})
    run = FakeRun(service=service, containerd=FakeContainerdApi())

    report = await run.fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert [True, True, True, False] == [bool(call.lease) for call in service.calls]


LAYER = "sha256:" + "2" * 64
COPY = "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://r.test/v2/a/blobs/"
BAD_RANGE, BAD_REQUEST, FORBIDDEN = (
    RuntimeFaultError.from_status("UNKNOWN", f"{COPY}{LAYER}: {status}")
    for status in ("416 Requested Range Not Satisfiable", "400 Bad Request", "403 Forbidden")
)


@pytest.mark.parametrize("error", [BAD_RANGE, BAD_REQUEST, FORBIDDEN])
async def test_what_was_kept_goes_at_once_where_it_may_be_why_an_attempt_fails(autojump_clock, error):
    """30 s timeout + 1 s delay: the second attempt starts at 31, fails, and starts over at 31."""
    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [HANG, error, IMAGE]})
    run = FakeRun(service=service, containerd=api)

    report = await run.fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert [0, 31, 31] == service.call_times
    assert [1, 2] == [event.attempt for event in run.told(AttemptStarted)]
    assert [True, False] == [bool(event.error) for event in run.told(AttemptFinished)]
    (notice,) = [event for event in run.told(Notice) if "started over" in event.message]
    assert f"a:1: discarded its partial download and started over: {error}" == notice.message
    assert {} == api.leases_held


async def test_an_image_is_started_over_once_and_then_its_error_counts(autojump_clock):
    """The second attempt, at 31, starts over; the same error is permanent then."""
    service = FakeImageService(pulls={"a:1": [HANG, BAD_REQUEST, BAD_REQUEST]})
    run = FakeRun(service=service, containerd=FakeContainerdApi())

    report = await run.fetch("a:1")

    assert ["client_error"] == [image.reason for image in report.failed]
    assert [0, 31, 31] == service.call_times


async def test_what_an_earlier_run_kept_goes_though_another_image_has_it_too(autojump_clock):
    api = FakeContainerdApi()
    lasting = time.time() + DAY
    of_a, of_b = [await put(api, image=f"docker.io/library/{name}:1", expires_at=lasting) for name in "ab"]
    for lease in (of_a, of_b):
        api.begin(LAYER, total=100, lease=lease)
    service = FakeImageService(pulls={"a:1": [BAD_REQUEST, IMAGE]})
    run = FakeRun(service=service, containerd=api, settings=FetchSettings(instance="one"))

    report = await run.fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert of_a == service.calls[0].lease
    assert [0, 0] == service.call_times
    assert {} == api.arriving


async def test_a_first_attempt_that_has_brought_nothing_is_not_repeated(autojump_clock):
    service = FakeImageService(pulls={"a:1": [FORBIDDEN]})
    run = FakeRun(service=service, containerd=FakeContainerdApi())

    report = await run.fetch("a:1")

    assert ["denied"] == [image.reason for image in report.failed]
    assert [0] == service.call_times


async def test_a_first_attempt_that_could_not_go_on_itself_is_started_over(autojump_clock):
    class Interrupted(FakeImageService):
        async def pull_image(self, image, auth=None, *, lease=""):
            if not self.calls:
                api.begin(LAYER, total=100, lease=lease)
                api.write(LAYER, 50)
            return await super().pull_image(image, auth, lease=lease)

    api = FakeContainerdApi()
    service = Interrupted(pulls={"a:1": [BAD_REQUEST, IMAGE]})
    run = FakeRun(service=service, containerd=api)

    report = await run.fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert [0, 0] == service.call_times
    assert {} == api.arriving


@pytest.mark.parametrize("how", ["without leases", "on another runtime", "where nothing can be dropped"])
async def test_where_nothing_was_kept_an_error_counts_as_it_is(autojump_clock, how):
    class Stubborn(FakeContainerdApi):
        async def lease_resources(self, lease_id):
            raise DENIED

    api = None if how == "on another runtime" else Stubborn()
    service = FakeImageService(pulls={"a:1": [HANG, BAD_REQUEST]}, name="containerd" if api else "cri-o")
    run = FakeRun(service=service, containerd=api, settings=FetchSettings(resume=how != "without leases"))

    report = await run.fetch("a:1")

    assert ["client_error"] == [image.reason for image in report.failed]
    assert [0, 31] == service.call_times


async def test_what_does_not_fit_on_the_disk_is_not_kept(autojump_clock):
    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [FULL, HANG]})
    run = FakeRun(service=service, containerd=api)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch, "a:1")
        await trio.sleep(0.5)
        assert [] == held(api)
        await trio.sleep(5)
        assert [NAME] == [image for _, image, _ in held(api)]
        nursery.cancel_scope.cancel()


async def test_what_an_earlier_run_kept_goes_too_where_its_image_does_not_fit_on_the_disk(autojump_clock, monkeypatch):
    """No attempt begins, so that none lets go of it; the next run would find the disk as full as this one did."""
    monkeypatch.setattr("nodeprefetch.pull.disk.space_at", lambda _: Space(total=100, free=1))
    api = FakeContainerdApi()
    settings = FetchSettings(instance="one", min_free_disk=DiskFloor(size=10), image_fs_path="/disk")
    run = FakeRun(service=FakeImageService(pulls={"a:1": [IMAGE]}), containerd=api, settings=settings)
    await put(api)

    report = await run.fetch("a:1")

    assert ["no_space"] == [image.reason for image in report.failed]
    assert [] == held(api)


async def test_a_run_whose_last_deletion_the_overall_timeout_cuts_has_finished_in_time(autojump_clock):
    class Stuck(FakeContainerdApi):
        async def delete_lease(self, _lease_id: str) -> bool:
            await trio.sleep_forever()
            return False

    service = FakeImageService(pulls={"a:1": [Hang(28, then=IMAGE)]})
    run = FakeRun(service=service, containerd=Stuck(), settings=FetchSettings(overall_timeout=30))

    report = await run.fetch("a:1")

    assert (RunEnd.FINISHED, 1) == (report.end, report.count(Outcome.SUCCEEDED))


async def test_without_resume_no_lease_is_asked_for(autojump_clock):
    api = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [HANG, IMAGE]})
    run = FakeRun(service=service, containerd=api, settings=FetchSettings(resume=False))

    await run.fetch("a:1")

    assert ["snapshotters", "read_blob"] == api.asked  # of the image that has come: is it unpacked, is it an image?
    assert ["timeout"] == [event.reason for event in run.told(AttemptFinished) if event.error]


async def test_an_api_that_breaks_down_fails_no_pull(autojump_clock):
    api = FakeContainerdApi(gone=DENIED)
    run = FakeRun(service=FakeImageService(pulls={"a:1": [HANG, IMAGE]}), containerd=api)

    report = await run.fetch("a:1")

    assert () == report.failed
    assert 1 == sum("continuing without leases" in notice.message for notice in run.told(Notice))


async def test_a_lease_of_ours_without_an_end_is_used(autojump_clock):
    api = FakeContainerdApi()
    made = new_lease(NAME, instance="one", run="r", expires_at=1)
    api.leases_held[made.id] = Lease(id=made.id, labels=made.labels)
    api.resources[made.id] = []

    assert made.id == await leases_on(api).obtain(A)


@pytest.mark.parametrize(
    ("name", "resume", "told"),
    [
        ("docker", True, ["docker does not support resuming pulls or progress reporting"]),
        ("docker", False, []),
        ("containerd", True, []),  # whose own API cannot be used: who found that out has said so
    ],
)
async def test_a_runtime_without_leases_is_said_to_be_one(name, resume, told):
    service = FakeImageService(pulls={"a:1": [IMAGE]}, name=name)
    run = FakeRun(service=service, settings=FetchSettings(resume=resume))

    await run.fetch("a:1")

    assert told == [notice.message for notice in run.told(Notice)]
    assert [""] == [call.lease for call in service.calls]


def test_the_flag_turns_leases_off():
    assert [True, False] == [fetch_settings(FetchFlags(no_resume=off)).resume for off in (False, True)]
