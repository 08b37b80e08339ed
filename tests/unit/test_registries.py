"""Runs with a registry that throttles, on virtual time. Chance adds as much jitter as there is: pauses are doubled."""

import pytest

from nodeprefetch.events import AttemptStarted, ImageFinished, Outcome, RegistryThrottled, RetryPlanned
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import FakeCredentialSource, FakeImageService, FakeRun, Hang
from nodeprefetch.values.retry import RetryPolicy

IMAGE = "sha256:" + "1" * 64
GET = (
    'failed to pull and unpack image "i": failed to copy: httpReadSeeker: failed open: unexpected status code https://h'
)
DOCKER_HUB = "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit"


def throttled(message: str = "") -> RuntimeFaultError:
    """The error of a 429 with that message."""
    text = f"{GET}: 429 Too Many Requests - Server message: toomanyrequests: {message}"
    return RuntimeFaultError.from_status("UNKNOWN", text)


def images(host: str, count: int) -> list[str]:
    return [f"{host}/image{number}:1" for number in range(count)]


def calls(service: FakeImageService, host: str) -> list[tuple[float, str]]:
    """When which image of a registry was pulled."""
    return [(call.at, call.image.partition("/")[2]) for call in service.calls if call.image.startswith(host)]


async def test_after_a_throttle_all_pulls_of_the_registry_wait_and_go_one_at_a_time(autojump_clock):
    """Pause 1 s + jitter; the throttled image first; then one more at once per success, a second between starts."""
    names = images("quay.io", 5)
    pulls = {name: [Hang(5, then=IMAGE)] for name in names}
    service = FakeImageService(pulls={**pulls, names[0]: [throttled(), Hang(5, then=IMAGE)]})

    report = await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    assert () == report.failed
    assert [0, 2, 7, 12, 17, 22] == service.call_times
    assert ["image0:1", "image0:1", "image1:1"] == [name for _, name in calls(service, "quay.io")][:3]


async def test_each_success_lets_one_more_pull_run(autojump_clock):
    """Two slots, pulls of 10 s: one runs at the throttle; one from 10 to 20; then two, a second apart."""
    names = images("quay.io", 6)
    pulls = {name: [Hang(10, then=IMAGE)] for name in names}
    service = FakeImageService(pulls={**pulls, names[0]: [Hang(0.1, then=throttled()), Hang(10, then=IMAGE)]})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=2)).fetch(*names)

    assert [0, 0, 10, 20, 21, 30, 31] == service.call_times


async def test_pulls_of_other_registries_go_on(autojump_clock):
    """One slot: while quay.io pauses, nobody of it holds the slot."""
    names = [*images("quay.io", 3), *images("gcr.io", 3)]
    pulls = {name: [Hang(1, then=IMAGE)] for name in names}
    service = FakeImageService(pulls={**pulls, names[0]: [throttled("Retry-After: 30"), Hang(1, then=IMAGE)]})

    report = await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    assert () == report.failed
    assert [0, 1, 2] == [at for at, _ in calls(service, "gcr.io")]
    assert [0, 60, 61, 62] == [at for at, _ in calls(service, "quay.io")]


async def test_waiting_for_a_registry_is_no_attempt(autojump_clock):
    """The timeout does not double either: a registry that throttles is not slow."""
    names = images("quay.io", 2)
    service = FakeImageService(pulls={names[0]: [throttled(), throttled(), IMAGE], names[1]: [Hang(0.1, then=IMAGE)]})
    run = FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1))

    await run.fetch(*names)

    assert [1, 2, 3, 1] == [event.attempt for event in run.told(AttemptStarted)]
    assert {30} == {event.limit for event in run.told(AttemptStarted)}
    assert [3, 1] == [run.result(name).attempts for name in names]


async def test_the_time_that_the_registry_names_is_never_shortened(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [throttled("retry-after: 1m30s, allowed: 5/minute"), IMAGE]})

    await FakeRun(service=service, chance=lambda: 0.0).fetch("quay.io/a:1")

    assert [0, 90] == service.call_times


async def test_a_throttle_is_an_event_with_its_pause_and_their_sum(autojump_clock):
    service = FakeImageService(pulls={"quay.io/a:1": [throttled("later"), throttled("later"), IMAGE]})
    run = FakeRun(service=service)

    await run.fetch("quay.io/a:1")

    first, second = run.told(RegistryThrottled)
    assert ("quay.io", 2, 2) == (first.registry, first.seconds, first.total)
    assert ("quay.io", 4, 6) == (second.registry, second.seconds, second.total)
    assert "Server message: toomanyrequests: later" in first.error
    assert [2, 4] == [event.delay for event in run.told(RetryPlanned)]


async def test_a_503_throttles_too(autojump_clock):
    names = images("quay.io", 2)
    error = RuntimeFaultError.from_status("UNKNOWN", "unexpected status: 503")
    service = FakeImageService(pulls={names[0]: [error, IMAGE], names[1]: [IMAGE]})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    assert [0, 2, 3] == service.call_times


async def test_a_500_throttles_nobody(autojump_clock):
    names = images("quay.io", 2)
    error = RuntimeFaultError.from_status("UNKNOWN", "unexpected status: 500")
    service = FakeImageService(pulls={names[0]: [error, IMAGE], names[1]: [IMAGE]})
    run = FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1))

    await run.fetch(*names)

    assert [0, 0, 1] == service.call_times
    assert [] == run.told(RegistryThrottled)


async def test_a_wait_longer_than_the_run_ends_all_images_of_the_registry_at_once(autojump_clock):
    """Nothing is asked of it any more; others go on."""
    names = [*images("quay.io", 3), *images("gcr.io", 2)]
    pulls = {name: [Hang(1, then=IMAGE)] for name in names}
    service = FakeImageService(pulls={**pulls, names[0]: [throttled("Retry-After: 3600")]})
    run = FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1))

    report = await run.fetch(*names)

    assert names[:3] == [image.image for image in report.failed]
    assert [1, 0, 0] == [run.result(name).attempts for name in names[:3]]
    assert [0] == [at for at, _ in calls(service, "quay.io")]
    assert 3 > max(event.elapsed for event in run.told(ImageFinished))
    error = run.result(names[1]).error
    assert error.startswith("quay.io takes no more pulls for 1h, longer than this run lasts (run again after 20")
    assert "use a mirror or a login with a higher limit" in error
    assert error.endswith("Retry-After: 3600")
    assert ("passing", "rate_limited") == (run.result(names[1]).error_class, run.result(names[1]).reason)


async def test_the_message_of_an_image_that_cannot_be_pulled_shows_what_named_the_time(autojump_clock):
    """Of two pulls that run together one is refused without a time, and later."""
    names = images("quay.io", 3)
    pulls = {names[0]: [Hang(1, then=throttled("Retry-After: 3600"))], names[1]: [Hang(2, then=throttled("no time"))]}
    service = FakeImageService(pulls={**pulls, names[2]: [IMAGE]})
    run = FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=2))

    report = await run.fetch(*names)

    assert 3 == len(report.failed)
    assert all(image.error.endswith("Retry-After: 3600") for image in report.failed)


async def test_the_pull_limit_of_docker_hub_ends_an_image_at_once(autojump_clock):
    """And those of the same namespace without an attempt. Another one may be exempt, so it is tried."""
    names = ["nginx:1", "redis:1", "grafana/grafana:1", "quay.io/a:1"]
    pulls = {name: [Hang(1, then=IMAGE)] for name in names}
    service = FakeImageService(pulls={**pulls, "nginx:1": [throttled(DOCKER_HUB)]})
    run = FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1))

    report = await run.fetch(*names)

    assert ["nginx:1", "redis:1"] == [image.image for image in report.failed]
    assert [1, 0, 1, 1] == [run.result(name).attempts for name in names]
    assert run.result("redis:1").error.startswith(
        "docker.io takes no more pulls of library/… without a login for 6h, longer than this run lasts (run again after"
    )


async def test_a_login_that_has_a_quota_is_used_when_another_has_none_left(autojump_clock):
    service = FakeImageService(pulls={"a:1": [throttled(DOCKER_HUB), IMAGE], "b:1": [IMAGE]})
    credentials = FakeCredentialSource(logins={"docker.io": ["poor", "rich"]})
    run = FakeRun(service=service, credentials=credentials, settings=FetchSettings(max_parallel_pulls=1))

    report = await run.fetch("a:1", "b:1")

    assert () == report.failed
    assert [("a:1", "poor"), ("a:1", "rich"), ("b:1", "rich")] == sorted(
        (call.image.rpartition("/")[2], call.auth.username) for call in service.calls if call.auth
    )


async def test_a_long_run_waits_for_the_pull_limit(autojump_clock):
    service = FakeImageService(pulls={"a:1": [throttled(DOCKER_HUB), IMAGE]})
    run = FakeRun(service=service, settings=FetchSettings(overall_timeout=24 * 3600))

    report = await run.fetch("a:1")

    assert 1 == report.count(Outcome.SUCCEEDED)
    assert [0, 6 * 3600] == service.call_times


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
async def test_the_next_credential_is_tried_when_the_registry_may_be_asked_again(autojump_clock, status):
    error = RuntimeFaultError.from_status("UNKNOWN", f"unexpected status: {status}")
    service = FakeImageService(pulls={"quay.io/a:1": [error, IMAGE]})
    credentials = FakeCredentialSource(logins={"quay.io": ["wrong", "right"]})

    await FakeRun(service=service, credentials=credentials).fetch("quay.io/a:1")

    assert [(0, "wrong"), (2, "right")] == [(call.at, call.auth.username) for call in service.calls if call.auth]


async def test_an_image_that_alone_is_refused_does_not_keep_others_waiting_for_ever(autojump_clock):
    names = images("quay.io", 3)
    service = FakeImageService(pulls={names[0]: [throttled()], names[1]: [IMAGE], names[2]: [IMAGE]})

    report = await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    assert names[:1] == [image.image for image in report.failed]
    assert 2 == report.count(Outcome.SUCCEEDED)


async def test_the_delays_of_the_run_are_those_of_its_registries(autojump_clock):
    settings = FetchSettings(retry=RetryPolicy(initial_delay=3, max_delay=4))
    service = FakeImageService(pulls={"quay.io/a:1": [throttled(), throttled(), IMAGE]})

    await FakeRun(service=service, settings=settings, chance=lambda: 0.0).fetch("quay.io/a:1")

    assert [0, 3, 7] == service.call_times


async def test_more_images_than_may_queue_of_a_registry_that_pauses_hold_up_nobody(autojump_clock):
    """300 images wait for quay.io; the one after them on the list has been pulled long before."""
    names = [*images("quay.io", 300), "gcr.io/a:1"]
    pulls = {name: [IMAGE] for name in names}
    service = FakeImageService(pulls={**pulls, names[0]: [throttled("Retry-After: 600"), IMAGE]})

    await FakeRun(service=service, settings=FetchSettings(max_parallel_pulls=1)).fetch(*names)

    assert [(0, "a:1")] == calls(service, "gcr.io")
