"""A run of fetch, on virtual time with exact numbers. Chance picks the longest pause unless a test says otherwise."""

import gc
import math
import signal
import weakref
from collections.abc import AsyncIterator

import pytest
import trio

from nodeprefetch.credentials.auth import Verdict
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    CredentialsMatched,
    ImageFinished,
    ImagesListed,
    Notice,
    Outcome,
    RetryPlanned,
    RunEnd,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
)
from nodeprefetch.pull.run import LONGEST_QUEUE, SUPERSEDED
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.settings import FetchSettings, PullPolicy
from nodeprefetch.testing import HANG, CallEnd, FakeContainerdApi, FakeCredentialSource, FakeImageService, FakeRun, Hang
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy

PASSING = RuntimeFaultError("503", fault=Fault(kind=FaultClass.PASSING, reason="server_error"))
REFUSED = RuntimeFaultError("401", fault=Fault(kind=FaultClass.REFUSED, reason="unauthorized"))
MISSING = RuntimeFaultError("404", fault=Fault(kind=FaultClass.PERMANENT, reason="not_found", missing=True))
BAD_NAME = RuntimeFaultError("bad name", fault=Fault(kind=FaultClass.PERMANENT, reason="bad_name"))
NO_SPACE = RuntimeFaultError("disk full", fault=Fault(kind=FaultClass.NO_SPACE, reason="no_space"))
ONCE = RuntimeFaultError("wrong digest", fault=Fault(kind=FaultClass.PASSING, reason="bad_digest", retries=1))
IMAGE = "sha256:" + "1" * 64


async def test_a_stalled_pull_gets_more_patience(autojump_clock):
    """Limit 30 s + pause 1 s: the second attempt starts at 31; limit 60 s + pause 2 s: the third at 93."""
    service = FakeImageService(pulls={"a:1": [HANG, HANG, IMAGE]})

    report = await FakeRun(service=service).fetch("a:1")

    assert () == report.failed
    assert [0, 31, 93] == service.call_times
    assert [CallEnd.CANCELLED, CallEnd.CANCELLED, CallEnd.PULLED] == [call.end for call in service.calls]


async def test_attempts_say_whether_the_image_is_on_the_node(autojump_clock):
    service = FakeImageService(
        images=[ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:latest",))], pulls={"a": [IMAGE], "b": [IMAGE]}
    )
    run = FakeRun(service=service)

    await run.fetch("a", "b")

    assert {"a": True, "b": False} == {event.image: event.is_present for event in run.told(AttemptStarted)}


@pytest.mark.parametrize("error", [PASSING, MISSING, REFUSED], ids=str)
async def test_an_image_that_is_kept_stays_present_when_its_registry_cannot_be_asked(autojump_clock, error):
    """It is asked once. The other image, which is missing, fails as ever."""
    service = FakeImageService(
        images=[ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:latest",))], pulls={"a": [error], "b": [MISSING]}
    )
    run = FakeRun(service=service, settings=FetchSettings(keeps_present=True))

    report = await run.fetch("a", "b")

    assert [Outcome.PRESENT, Outcome.FAILED] == [image.outcome for image in report.images]
    assert str(error) == report.images[0].error


async def test_an_image_that_is_kept_stays_present_when_the_run_ends_before_its_registry_answers(autojump_clock):
    service = FakeImageService(
        images=[ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:latest",))], pulls={"a": [HANG]}
    )
    run = FakeRun(service=service, settings=FetchSettings(keeps_present=True, overall_timeout=10))

    report = await run.fetch("a")

    assert ((), "cancelled: overall timeout (10s) exceeded") == (report.failed, report.images[0].error)


async def test_limits_and_pauses_stop_doubling_at_their_maximum(autojump_clock):
    """Attempts begin at 0, 10+1, 11+20+2, 33+25+3, 61+25+3."""
    policy = RetryPolicy(initial_timeout=10, max_timeout=25, initial_delay=1, max_delay=3)
    service = FakeImageService(pulls={"a:1": [HANG] * 4 + [IMAGE]})
    run = FakeRun(service=service, settings=FetchSettings(retry=policy))

    await run.fetch("a:1")

    assert [0, 11, 33, 61, 89] == service.call_times
    assert [10, 20, 25, 25, 25] == [event.limit for event in run.told(AttemptStarted)]
    assert [1, 2, 3, 3] == [event.delay for event in run.told(RetryPlanned)]


async def test_a_pause_is_a_random_part_of_its_bound(autojump_clock):
    chances = iter([0.5, 0.25])
    service = FakeImageService(pulls={"a:1": [PASSING, PASSING, IMAGE]})

    await FakeRun(service=service, chance=lambda: next(chances)).fetch("a:1")

    assert [0, 0.5, 1.0] == service.call_times


async def test_an_attempt_that_ends_in_time_is_not_cut(autojump_clock):
    service = FakeImageService(pulls={"a:1": [Hang(29.999, then=IMAGE)]})

    report = await FakeRun(service=service).fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert [0] == service.call_times


async def test_a_cut_attempt_says_its_limit(autojump_clock):
    service = FakeImageService(pulls={"a:1": [HANG, IMAGE]})
    run = FakeRun(service=service)

    await run.fetch("a:1")

    first = run.told(AttemptFinished)[0]
    assert ("timeout", "passing", 30, 30) == (first.reason, first.error_class, first.limit, first.duration)
    assert "timed out after 30s" == first.error


async def test_without_a_limit_all_images_are_pulled_at_once(autojump_clock):
    names = [f"image{number}:1" for number in range(50)]
    service = FakeImageService(pulls={name: [Hang(10, then=IMAGE)] for name in names})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=0)).fetch(*names)

    assert [0] * 50 == service.call_times
    assert 10 == trio.current_time()


@pytest.mark.parametrize(("name", "version"), [("containerd", "1.7.35"), ("cri-o", "2.0.0"), ("containerd", "odd")])
async def test_eight_images_are_pulled_at_once_by_default(autojump_clock, name, version):
    """Twenty images of 10 s each: eight begin at 0, eight at 10, four at 20."""
    names = [f"image{number}:1" for number in range(20)]
    service = FakeImageService(name=name, release=version, pulls={name: [Hang(10, then=IMAGE)] for name in names})

    await FakeRun(service=service).fetch(*names)

    assert [0] * 8 + [10] * 8 + [20] * 4 == service.call_times
    assert 30 == trio.current_time()


@pytest.mark.parametrize("version", ["2.0.0", "v2.4.2", "1:2.1.3~ds1", "3.0"])
async def test_two_images_are_pulled_at_once_where_all_pulls_share_three_downloads(autojump_clock, version):
    """Four images of 10 s each: two begin at 0, two at 10."""
    names = [f"image{number}:1" for number in range(4)]
    pulls = {name: [Hang(10, then=IMAGE)] for name in names}
    service = FakeImageService(name="containerd", release=version, pulls=pulls)

    await FakeRun(service=service).fetch(*names)

    assert [0, 0, 10, 10] == service.call_times


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        (FetchSettings(), 3),
        (FetchSettings(yields=False), 2),
        (FetchSettings(resume=False), 2),
        (FetchSettings(max_download_rate=2**20), 2),
        (FetchSettings(max_download_rate=2**20, max_parallel_pulls=4), 4),
    ],
)
async def test_a_prefetch_that_yields_uses_all_three_of_them(autojump_clock, settings, first):
    names = [f"image{number}:1" for number in range(4)]
    pulls = {name: [Hang(10, then=IMAGE)] for name in names}
    service = FakeImageService(name="containerd", release="2.4.2", pulls=pulls)

    await FakeRun(service=service, settings=settings, containerd=FakeContainerdApi()).fetch(*names)

    assert first == service.call_times.count(0)


async def test_no_more_images_than_allowed_are_pulled_at_the_same_moment(autojump_clock):
    """Five images of 10 s each, two at a time: begun at 0, 0, 10, 10, 20."""
    names = [f"image{number}:1" for number in range(5)]
    service = FakeImageService(pulls={name: [Hang(10, then=IMAGE)] for name in names})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=2)).fetch(*names)

    assert [0, 0, 10, 10, 20] == service.call_times


async def test_an_image_that_waits_for_its_next_attempt_holds_no_slot(autojump_clock):
    """One slot. While a waits for 100 s, b and c have it for 10 s each."""
    policy = RetryPolicy(initial_delay=100)
    service = FakeImageService(
        pulls={"a:1": [PASSING, IMAGE], "b:1": [Hang(10, then=IMAGE)], "c:1": [Hang(10, then=IMAGE)]}
    )
    run = FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1, retry=policy))

    await run.fetch("a:1", "b:1", "c:1")

    assert [0, 10] == sorted(call.at for call in service.calls if call.image != "a:1")


async def test_the_limit_of_an_attempt_begins_when_it_has_its_slot(autojump_clock):
    """b waits 25 s for the slot and takes 25 s: no attempt is longer than the limit of 30 s."""
    service = FakeImageService(pulls={"a:1": [Hang(25, then=IMAGE)], "b:1": [Hang(25, then=IMAGE)]})

    report = await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch("a:1", "b:1")

    assert 2 == report.count(Outcome.SUCCEEDED)
    assert 2 == len(service.calls)


@pytest.mark.parametrize("policy", [None, PullPolicy.IF_NOT_PRESENT])
async def test_an_image_that_is_present_is_not_pulled(autojump_clock, policy):
    held = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:1",), size=7)
    service = FakeImageService(images=[held])
    run = FakeRun(service=service, settings=FetchSettings(pull_policy=policy))

    report = await run.fetch("a:1")

    assert [] == service.calls
    assert 1 == report.count(Outcome.PRESENT)
    assert (IMAGE, 7, 0) == (run.result("a:1").image_id, run.result("a:1").size, run.result("a:1").attempts)


async def test_credentials_of_a_present_image_are_not_asked_for(autojump_clock):
    service = FakeImageService(images=[ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:1",))])
    run = FakeRun(service=service)

    await run.fetch("a:1")

    assert [] == run.credentials.asked


@pytest.mark.parametrize("name", ["a", "a:latest"])
async def test_the_tag_latest_is_pulled_also_when_present(autojump_clock, name):
    held = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:latest",))
    service = FakeImageService(images=[held], pulls={name: [IMAGE]})

    report = await FakeRun(service=service).fetch(name)

    assert [name] == [call.image for call in service.calls]
    assert 1 == report.count(Outcome.SUCCEEDED)


async def test_policy_always_pulls_what_is_present(autojump_clock):
    held = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:1",))
    service = FakeImageService(images=[held], pulls={"a:1": [IMAGE]})

    await FakeRun(service=service, settings=FetchSettings(pull_policy=PullPolicy.ALWAYS)).fetch("a:1")

    assert 1 == len(service.calls)


async def test_presence_is_asked_with_one_call_for_the_whole_list(autojump_clock):
    names = [f"image{number}:1" for number in range(20)]
    service = FakeImageService(pulls={name: [IMAGE] for name in names})

    await FakeRun(service=service).fetch(*names)

    assert 1 == service.asked.count("list_images")


async def test_the_runtime_is_sent_what_the_user_wrote(autojump_clock):
    service = FakeImageService(pulls={"docker.io/library/a:1": [IMAGE]})

    await FakeRun(service=service).fetch("a:1")

    assert ["a:1"] == [call.image for call in service.calls]


@pytest.mark.parametrize("error", [BAD_NAME, MISSING, REFUSED], ids=lambda error: error.fault.reason)
async def test_what_cannot_succeed_fails_at_once_and_the_others_go_on(autojump_clock, error):
    service = FakeImageService(pulls={"bad:1": [error, IMAGE], "slow:1": [Hang(20, then=IMAGE)]})
    run = FakeRun(service=service)

    report = await run.fetch("bad:1", "slow:1")

    assert ["bad:1"] == [image.image for image in report.failed]
    assert 0 == run.result("bad:1").elapsed
    assert Outcome.SUCCEEDED is run.result("slow:1").outcome
    assert error.fault.reason == run.result("bad:1").reason


@pytest.mark.parametrize("error", [PASSING, NO_SPACE], ids=lambda error: error.fault.reason)
async def test_what_may_pass_is_tried_again(autojump_clock, error):
    """Pauses of 1, 2 and 4 s."""
    service = FakeImageService(pulls={"a:1": [error, error, error, IMAGE]})

    report = await FakeRun(service=service).fetch("a:1")

    assert () == report.failed
    assert [0, 1, 3, 7] == service.call_times


async def test_what_may_pass_once_is_tried_twice(autojump_clock):
    service = FakeImageService(pulls={"a:1": [ONCE]})

    report = await FakeRun(service=service).fetch("a:1")

    assert 1 == len(report.failed)
    assert [0, 1] == service.call_times


async def test_a_missing_image_is_tried_again_when_it_may_still_be_pushed(autojump_clock):
    service = FakeImageService(pulls={"a:1": [MISSING, MISSING, IMAGE]})

    report = await FakeRun(service=service, settings=FetchSettings(retry_missing=True)).fetch("a:1")

    assert () == report.failed
    assert [0, 1, 3] == service.call_times


async def test_a_refused_credential_gives_way_to_the_next_without_waiting(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [REFUSED, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["stale", "good"]})

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert () == report.failed
    assert [0, 0] == service.call_times
    assert [credentials.auth("stale"), credentials.auth("good")] == [call.auth for call in service.calls]


async def test_a_refused_credential_is_not_tried_again(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [REFUSED, PASSING, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["stale", "good"]})

    await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert ["stale", "good", "good"] == [call.auth.username for call in service.calls]


async def test_there_is_no_anonymous_try_after_refusals(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [REFUSED]})
    credentials = FakeCredentialSource(logins={"quay.io": ["one", "two"]})

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert ["refused"] == [image.error_class for image in report.failed]
    assert ["one", "two"] == [call.auth.username for call in service.calls]


async def test_an_image_without_credentials_is_pulled_anonymously(autojump_clock):
    service = FakeImageService(pulls={"a:1": [IMAGE]})

    await FakeRun(service=service).fetch("a:1")

    assert [None] == [call.auth for call in service.calls]


async def test_not_found_may_be_a_registry_that_hides_and_goes_on_to_the_next_credential(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [MISSING, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["stranger", "member"]})

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert () == report.failed


async def test_not_found_by_one_who_was_let_in_is_told_rather_than_the_others_refusals(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [MISSING, REFUSED]})
    credentials = FakeCredentialSource(logins={"quay.io": ["member", "stale"]})

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert ["not_found"] == [image.reason for image in report.failed]


def texts(*texts: str) -> list[RuntimeFaultError]:
    """What a runtime's errors with these texts are."""
    return [RuntimeFaultError.from_status("UNKNOWN", text) for text in texts]


@pytest.mark.parametrize(
    "error",
    [
        *texts("something new went wrong", "unexpected status: 400 Bad Request", "unexpected status: 500", "denied"),
        *texts("no match for platform in manifest: not found", "context was lost"),
        RuntimeFaultError.from_status("INTERNAL", "panic"),
        RuntimeFaultError.from_status("INVALID_ARGUMENT", "no"),
        RuntimeFaultError.from_status("RESOURCE_EXHAUSTED", "no"),
        RuntimeFaultError.from_status("NOT_FOUND", "no"),
    ],
    ids=str,
)
async def test_whatever_error_a_credential_meets_the_next_one_is_tried_at_once(autojump_clock, error):
    service = FakeImageService(pulls={"quay.io/a:1": [error, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["wrong", "right"]})

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert () == report.failed
    assert [(0, "wrong"), (0, "right")] == [(call.at, call.auth.username) for call in service.calls]


@pytest.mark.parametrize(
    "error",
    [
        *texts('Get "https://quay.io/": dial tcp: lookup quay.io: no such host'),
        *texts('Get "https://quay.io/": dial tcp 1.2.3.4:443: connect: connection refused'),
        *texts("write /a: no space left on device", "server is not initialized yet", "layer not known"),
    ],
    ids=lambda error: error.fault.reason,
)
async def test_an_error_of_network_or_node_is_not_repeated_with_the_next_credential(autojump_clock, error):
    service = FakeImageService(pulls={"quay.io/a:1": [error, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["first", "second"]})

    await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert ["first", "first"] == [call.auth.username for call in service.calls]
    assert service.call_times[1] > 0


@pytest.mark.parametrize("order", [[PASSING, REFUSED], [REFUSED, PASSING]], ids=["first", "last"])
async def test_a_credential_whose_error_passes_keeps_its_image_alive(autojump_clock, order):
    """At 0 one is refused and one meets 503; at 1 only the latter is tried."""
    service = FakeImageService(pulls={"quay.io/a:1": [*order, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["one", "two"]})

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert () == report.failed
    assert [0, 0, 1] == service.call_times
    assert ("one" if order[0] is PASSING else "two") == service.calls[2].auth.username


NOT_YET = texts('Get "https://a/": x509: certificate has expired or is not yet valid: current time 1 is before 2')


async def test_a_certificate_that_is_not_valid_yet_passes_for_five_minutes(autojump_clock):
    """Pauses of 1, 2, 4 … 128 s: attempts at 0, 1, 3, 7, 15, 31, 63, 127, 255, 511. The one at 511 s is the last."""
    service = FakeImageService(pulls={"a:1": NOT_YET})

    report = await FakeRun(service=service).fetch("a:1")

    assert ["clock"] == [image.reason for image in report.failed]
    assert [0, 1, 3, 7, 15, 31, 63, 127, 255, 511] == service.call_times


async def test_the_five_minutes_begin_when_an_image_meets_the_error(autojump_clock):
    """One slot: b:1 begins at 1000 s, when those minutes would be over for the run, and its clock is right at 1001."""
    service = FakeImageService(pulls={"a:1": [Hang(1000, then=IMAGE)], "b:1": [*NOT_YET, IMAGE]})
    settings = FetchSettings(max_parallel_pulls=1, retry=RetryPolicy(initial_timeout=2000, max_timeout=2000))

    report = await FakeRun(service=service, settings=settings).fetch("a:1", "b:1")

    assert () == report.failed
    assert [0, 1000, 1001] == service.call_times


async def test_the_overall_timeout_ends_the_run_and_what_it_cut_has_failed(autojump_clock):
    service = FakeImageService(pulls={"slow:1": [HANG], "good:1": [IMAGE]})
    run = FakeRun(service=service, settings=FetchSettings(overall_timeout=50))

    report = await run.fetch("slow:1", "good:1")

    assert RunEnd.TIMED_OUT is report.end
    assert ["slow:1"] == [image.image for image in report.failed]
    assert 50 == trio.current_time()
    expected = "cancelled: overall timeout (50s) exceeded; last error: timed out after 30s"
    assert expected == run.result("slow:1").error
    assert [CallEnd.CANCELLED, CallEnd.CANCELLED] == [call.end for call in service.calls if call.image == "slow:1"]


async def test_the_overall_timeout_also_ends_a_pause(autojump_clock):
    service = FakeImageService(pulls={"a:1": [PASSING]})
    settings = FetchSettings(overall_timeout=50, retry=RetryPolicy(initial_delay=600))

    await FakeRun(service=service, settings=settings).fetch("a:1")

    assert 50 == trio.current_time()


async def test_every_attempt_that_was_begun_is_told_to_have_ended(autojump_clock):
    service = FakeImageService(pulls={"a:1": [HANG], "b:1": [PASSING, IMAGE], "c:1": [BAD_NAME]})
    run = FakeRun(service=service, settings=FetchSettings(overall_timeout=45))

    await run.fetch("a:1", "b:1", "c:1")

    begun = {event.attempt_id for event in run.told(AttemptStarted)}
    assert 5 == len(begun)
    assert begun == {event.attempt_id for event in run.told(AttemptFinished)}


async def test_a_run_tells_its_beginning_every_outcome_and_its_end(autojump_clock):
    service = FakeImageService(pulls={"a:1": [Hang(3, then=IMAGE)], "b:1": [BAD_NAME]})
    run = FakeRun(service=service)

    await run.fetch("a:1", "b:1")

    begun = run.told(RunStarted)[0]
    assert (("a:1", "b:1"), list_digest(map(ImageRef.parse, ("b:1", "a:1")))) == (begun.images, begun.list_digest)
    assert {"a:1", "b:1"} == {event.image for event in run.told(ImageFinished)}
    assert run.events[-1] is run.told(RunFinished)[0]
    end = run.told(RunFinished)[0]
    assert (1, 0, 1, 3, RunEnd.FINISHED) == (end.succeeded, end.present, end.failed, end.elapsed, end.end)


async def test_size_and_digest_of_a_pulled_image_are_told(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [IMAGE]})
    run = FakeRun(service=service)

    await run.fetch("quay.io/a:1")

    assert (1000, IMAGE) == (run.told(AttemptFinished)[0].size, run.told(AttemptFinished)[0].digest)


async def one_signal_at(seconds: float, number: signal.Signals = signal.SIGTERM) -> AsyncIterator[int]:
    await trio.sleep(seconds)
    yield number


async def test_a_signal_cancels_the_pulls_in_the_runtime_and_the_summary_is_still_told(autojump_clock):
    service = FakeImageService(pulls={"a:1": [HANG], "b:1": [IMAGE]})
    run = FakeRun(service=service, signals=one_signal_at(12))

    report = await run.fetch("a:1", "b:1")

    assert (RunEnd.STOPPED, signal.SIGTERM) == (report.end, report.signal)
    assert 12 == trio.current_time()
    assert {CallEnd.CANCELLED, CallEnd.PULLED} == {call.end for call in service.calls}
    assert (1, 1) == (run.told(RunFinished)[0].succeeded, run.told(RunFinished)[0].failed)
    assert "cancelled by SIGTERM" == run.result("a:1").error
    assert not run.told(RunFinished)[0].superseded


async def test_a_run_whose_list_has_changed_says_so(autojump_clock):
    service = FakeImageService(pulls={"a:1": [HANG]})
    run = FakeRun(service=service, signals=one_signal_at(12, SUPERSEDED))

    report = await run.fetch("a:1")

    assert (RunEnd.STOPPED, SUPERSEDED) == (report.end, report.signal)
    assert run.told(RunFinished)[0].superseded
    assert "cancelled: the image list has changed" == run.result("a:1").error


async def test_pulls_wait_while_the_runtime_is_gone_and_go_on_when_it_is_back(autojump_clock):
    """Gone from 5 to 65. Asked at 5, then after pauses of 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2 …: last at 66.1."""
    service = FakeImageService(pulls={"a:1": [Hang(10, then=IMAGE)], "b:1": [Hang(10, then=IMAGE)]})
    run = FakeRun(service=service)

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def outage():
            await trio.sleep(5)
            service.go_away()
            await trio.sleep(60)
            service.come_back()

        report = await run.fetch("a:1", "b:1")

    assert () == report.failed
    assert 1 == len(run.told(RuntimeLost))
    assert [pytest.approx(61.1)] == [event.after for event in run.told(RuntimeReturned)]
    assert [30, 30, 30, 30] == [event.limit for event in run.told(AttemptStarted)]


async def test_a_pull_that_kills_the_runtime_again_and_again_is_given_longer_pauses(autojump_clock):
    """Each attempt fails at once: pauses of 0.2, 0.4, 0.8 … up to the longest of all, here 5 s."""
    gone = RuntimeFaultError.gone("connection lost")
    service = FakeImageService(pulls={"a:1": [gone] * 7 + [IMAGE]})
    settings = FetchSettings(retry=RetryPolicy(max_delay=5))

    await FakeRun(service=service, settings=settings).fetch("a:1")

    assert [0, 0.2, 0.6, 1.4, 3.0, 6.2, 11.2, 16.2] == pytest.approx(service.call_times)


async def test_a_runtime_that_is_gone_before_it_listed_its_images_is_waited_for(autojump_clock):
    service = FakeImageService(pulls={"a:1": [IMAGE]})
    lists = iter([RuntimeFaultError.gone("connection lost"), None])
    list_images = service.list_images

    async def list_images_later():
        if error := next(lists):
            raise error
        return await list_images()

    service.list_images = list_images_later

    assert () == (await FakeRun(service=service).fetch("a:1")).failed


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
async def test_where_images_cannot_be_listed_each_one_is_asked_for(autojump_clock, hangs):
    held = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:1",))
    service = FakeImageService(images=[held], pulls={"b:1": [IMAGE]})

    async def list_images():
        if hangs:
            await trio.sleep(math.inf)
        raise RuntimeFaultError.from_status("RESOURCE_EXHAUSTED", "grpc: received message larger than max")

    service.list_images = list_images
    run = FakeRun(service=service)

    report = await run.fetch("a:1", "b:1")

    assert (1, 1) == (report.count(Outcome.PRESENT), report.count(Outcome.SUCCEEDED))
    assert ["b:1"] == [call.image for call in service.calls]
    assert 1 == sum(notice.is_warning for notice in run.told(Notice))
    assert (60 if hangs else 0) == trio.current_time()


async def test_debug_lists_the_images_before_and_after(autojump_clock):
    service = FakeImageService(pulls={"a:1": [IMAGE], "b:1": [BAD_NAME]})
    run = FakeRun(service=service, settings=FetchSettings(debug=True))

    await run.fetch("a:1", "b:1")

    before, after = run.told(ImagesListed)
    assert () == before.images
    assert "docker.io/library/a:1" in after.images


async def test_a_list_that_fails_at_the_end_changes_nothing(autojump_clock):
    service = FakeImageService(pulls={"a:1": [Hang(1, then=IMAGE)]})
    run = FakeRun(service=service, settings=FetchSettings(debug=True, image_list_timeout=5))
    calls = iter(["list", "hang"])
    list_images = service.list_images

    async def list_images_once():
        if next(calls) == "hang":
            await trio.sleep(math.inf)
        return await list_images()

    service.list_images = list_images_once

    report = await run.fetch("a:1")

    assert () == report.failed
    assert "no answer in 5s" == run.told(ImagesListed)[1].error


async def test_what_became_of_each_credential_is_told_to_its_source(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [REFUSED, PASSING, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["stale", "good"]})

    await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert [
        ("stale", Verdict.REFUSED),
        ("good", Verdict.UNDECIDED),
        ("stale", Verdict.UNDECIDED),
        ("good", Verdict.WORKED),
    ] == credentials.verdicts


async def test_a_refusal_is_not_final_while_some_source_has_not_answered(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [REFUSED] * 5 + [IMAGE]})
    credentials = FakeCredentialSource(is_complete=False)

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert () == report.failed
    assert [0, 1, 3, 7, 15, 31] == service.call_times


async def test_not_found_is_doubted_a_few_times_while_some_source_has_not_answered(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [MISSING]})
    credentials = FakeCredentialSource(is_complete=False)

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert 1 == len(report.failed)
    assert [0, 1, 3, 7] == service.call_times


async def test_a_credential_that_expired_while_it_waited_for_a_slot_is_looked_up_anew(autojump_clock):
    """One slot, taken for 20 s; credentials live for 10 s."""
    service = FakeImageService(pulls={"quay.io/a:1": [Hang(20, then=IMAGE)], "quay.io/b:1": [Hang(20, then=IMAGE)]})
    credentials = FakeCredentialSource(logins={"quay.io": ["short-lived"]}, lifetime=10)
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(max_parallel_pulls=1))

    await run.fetch("quay.io/a:1", "quay.io/b:1")

    assert [0, 20] == service.call_times
    assert 3 == len(credentials.asked)


async def test_a_credential_whose_time_is_over_before_it_can_be_used_is_used_at_the_second_look_up(autojump_clock):
    """Its provider takes longer than its answers hold."""
    service = FakeImageService(pulls={"quay.io/a:1": [IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["brief"]}, lifetime=0)

    report = await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert () == report.failed
    assert ["brief"] == [call.auth.username for call in service.calls]
    assert 2 == len(credentials.asked)


async def test_a_pull_whose_credential_expired_in_the_queue_keeps_its_place(autojump_clock):
    """One slot, taken until 20 and 40; the credential for b expires at 10."""
    names = ["a:1", "quay.io/b:1", "c:1"]
    service = FakeImageService(pulls={name: [Hang(20, then=IMAGE)] for name in names})
    credentials = FakeCredentialSource(logins={"quay.io": ["short-lived"]}, lifetime=10)
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(max_parallel_pulls=1))

    await run.fetch(*names)

    assert names == [call.image for call in service.calls]
    assert [0, 20, 40] == service.call_times


async def test_a_credential_that_has_expired_when_it_comes_is_used_once(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [REFUSED, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["one", "two"]}, lifetime=0)
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(max_parallel_pulls=1))

    report = await run.fetch("quay.io/a:1")

    assert () == report.failed
    assert ["one", "two"] == [call.auth.username for call in service.calls]


async def test_a_slot_held_for_a_new_credential_is_given_back_where_there_is_none_any_more(autojump_clock):
    """a has one slot until 20; b's credential expires meanwhile and is refused at 20; c has the slot then."""
    service = FakeImageService(pulls={"a:1": [Hang(20, then=IMAGE)], "quay.io/b:1": [REFUSED], "c:1": [IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["short-lived"]}, lifetime=10)
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(max_parallel_pulls=1))

    report = await run.fetch("a:1", "quay.io/b:1", "c:1")

    assert ["quay.io/b:1"] == [image.image for image in report.failed]
    assert [0, 20, 20] == service.call_times


async def test_a_signal_ends_the_list_of_images_after_the_work(autojump_clock):
    """The list after the pulls hangs; a signal at 5 ends it, and the run."""

    class HangsAtTheEnd(FakeImageService):
        async def list_images(self):
            if self.calls:
                await trio.sleep_forever()
            return await super().list_images()

    async def signals() -> AsyncIterator[int]:
        await trio.sleep(5)
        yield signal.SIGTERM

    run = FakeRun(service=HangsAtTheEnd(pulls={"a:1": [IMAGE]}), settings=FetchSettings(debug=True), signals=signals())

    report = await run.fetch("a:1")

    assert (5, signal.SIGTERM) == (trio.current_time(), report.signal)
    assert () == report.failed


async def test_an_image_that_failed_keeps_alive_nothing_of_its_attempts(autojump_clock):
    """In a list of thousands each would keep the frames of its last call, and what those refer to."""

    class Large:
        pass

    class Refuses(FakeImageService):
        async def pull_image(self, image, auth=None, *, lease=""):
            if image == "b:1":
                await trio.sleep(100)
            large = Large()
            used.append(weakref.ref(large))
            raise RuntimeFaultError.from_status("INVALID_ARGUMENT", "no")

    used = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FakeRun(service=Refuses()).fetch, "a:1", "b:1")
        await trio.sleep(50)
        gc.collect()
        assert [None] == [one() for one in used]


async def test_debug_tells_which_credentials_match(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [IMAGE], "b:1": [IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["one", "two"]})
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(debug=True))

    await run.fetch("quay.io/a:1", "b:1")

    matched = {event.image: event.credentials for event in run.told(CredentialsMatched)}
    assert {
        "quay.io/a:1": ("fake quay.io (password)", "fake quay.io (password)"),
        "b:1": (),
    } == matched
    assert "secret-of-one" not in str(run.events)


async def test_no_event_names_a_user(autojump_clock):
    """Some user names are tokens: `ghp_…` with the password `x-oauth-basic`."""
    service = FakeImageService(pulls={"quay.io/a:1": [IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["ghp_TokenAsUserName123456"]})
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(debug=True))

    await run.fetch("quay.io/a:1")

    assert {"fake quay.io (password)"} == {event.credential for event in run.told(AttemptFinished)}
    assert "ghp_" not in str(run.events)


async def test_a_run_without_a_runtime_tells_that_every_image_has_failed(autojump_clock):
    class NoRuntime(FakeRun):
        async def _connect(self, _nursery):
            await trio.sleep(10)
            raise RuntimeUnavailableError("no container runtime answered in 10s")

    run = NoRuntime(service=FakeImageService())

    with pytest.raises(ExceptionGroup) as caught:
        await run.fetch("a:1", "b:1")

    assert caught.group_contains(RuntimeUnavailableError)
    assert ["a:1", "b:1"] == [event.image for event in run.told(ImageFinished)]
    assert ("no container runtime answered in 10s", "no_runtime") == (
        run.result("a:1").error,
        run.result("a:1").reason,
    )
    assert (RunEnd.NO_RUNTIME, 2, 10) == (run.events[-1].end, run.events[-1].failed, run.events[-1].elapsed)


async def test_no_more_images_begin_than_can_wait_for_their_first_slot(autojump_clock):
    """One holds the only slot, the longest queue waits; the others have not looked for credentials yet."""
    names = [f"quay.io/image{number}:1" for number in range(LONGEST_QUEUE + 50)]
    service = FakeImageService(pulls={name: [Hang(1, then=IMAGE)] for name in names})
    credentials = FakeCredentialSource()
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(max_parallel_pulls=1))
    begun: list[int] = []

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def look():
            await trio.sleep(0.5)
            begun.append(len(credentials.asked))

        report = await run.fetch(*names)

    assert [LONGEST_QUEUE + 1] == begun
    assert () == report.failed
    assert names == [call.image for call in service.calls]


async def test_images_that_rest_before_their_next_attempt_keep_no_other_from_beginning(autojump_clock):
    """All but the last are tried again after the first one's pause of 1 s; the last begins at 0."""
    names = [f"image{number}:1" for number in range(LONGEST_QUEUE + 50)]
    service = FakeImageService(pulls={name: [PASSING, IMAGE] for name in names[:-1]} | {names[-1]: [IMAGE]})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    begun = [time for call, time in zip(service.calls, service.call_times, strict=True) if call.image == names[-1]]
    assert [0] == begun


async def test_images_queue_for_slots_in_the_order_of_the_list(autojump_clock):
    names = [f"image{number}:1" for number in range(20)]
    service = FakeImageService(pulls={name: [Hang(1, then=IMAGE)] for name in names})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    assert names == [call.image for call in service.calls]
