"""The rule by which a registry that throttles is asked again."""

import heapq
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.pull.registry_budget import Pacing, RegistryBudget, resumes_first

SECONDS = st.floats(0, 1e6)
CHANCES = st.floats(0, 1)


def throttled_once(retry_after: float = 0.0) -> RegistryBudget:
    budget = RegistryBudget()
    budget.throttled(budget.start(0), 0, retry_after=retry_after)
    budget.end()
    return budget


def test_nothing_is_limited_until_the_registry_throttles():
    budget = RegistryBudget()

    for _ in range(100):
        assert 0 == budget.wait(5)
        budget.succeeded(budget.start(5))

    assert budget.is_untouched


def test_after_a_throttle_one_pull_runs_at_a_time():
    budget = throttled_once()

    budget.start(10)

    assert math.inf == budget.wait(1000)
    budget.end()
    assert 0 == budget.wait(1000)


def test_pulls_that_run_at_the_throttle_end_before_the_next_starts():
    budget = RegistryBudget()
    epochs = [budget.start(0) for _ in range(3)]

    budget.throttled(epochs[0], 0)
    budget.end()
    budget.end()

    assert math.inf == budget.wait(1000)


def test_each_success_lets_one_more_run():
    budget = throttled_once()
    for now in (10, 20):
        budget.succeeded(budget.start(now))
        budget.end()

    assert 3 == budget.limit


def test_a_success_of_a_pull_that_began_before_the_throttle_changes_nothing():
    budget = RegistryBudget()
    early, late = budget.start(0), budget.start(0)
    budget.throttled(late, 0)

    budget.succeeded(early)

    assert 1 == budget.limit


def test_pauses_double_until_a_pull_succeeds():
    budget = RegistryBudget()
    now, pauses = 0.0, []
    for _ in range(8):
        pauses.append(budget.throttled(budget.start(now), now))
        budget.end()
        now += budget.wait(now)
    budget.succeeded(budget.start(now))
    pauses.append(budget.throttled(budget.start(now + 1), now + 1))

    assert [1, 2, 4, 8, 16, 32, 60, 60] == pauses[:8]
    assert 1 == pauses[8]


def test_throttles_of_pulls_that_ran_together_count_once():
    budget = RegistryBudget()
    epochs = [budget.start(0) for _ in range(8)]

    pauses = [budget.throttled(epoch, 0) for epoch in epochs]

    assert [1, 0, 0, 0, 0, 0, 0, 0] == pauses
    assert 1 == budget.gap(0)


def test_the_longest_time_named_by_the_registry_holds():
    budget = RegistryBudget()
    epochs = [budget.start(0) for _ in range(3)]

    pauses = [budget.throttled(epoch, 0, retry_after=time) for epoch, time in zip(epochs, (5, 30, 10), strict=True)]

    assert [5, 25, 0] == pauses
    assert 30 == budget.reopens_at()


def test_an_outage_does_not_slow_down_what_follows():
    """Only a throttle after successes says that the pace was too high."""
    budget = RegistryBudget()
    now = 0.0
    while now < 300:
        budget.throttled(budget.start(now), now)
        budget.end()
        now += budget.wait(now)

    assert 1 == budget.gap(now)


def test_the_gap_halves_after_five_quiet_minutes():
    budget = throttled_once()

    assert [1, 1, 0.5, 0.25] == [budget.gap(now) for now in (1, 299, 300, 600)]


def test_the_quota_of_an_account_closes_the_registry_for_that_account_alone():
    budget = RegistryBudget()

    budget.throttled(budget.start(0), 0, retry_after=21600, account="anonymous")
    budget.end()

    assert 21600 == budget.reopens_at("anonymous")
    assert -math.inf == budget.reopens_at("login")
    assert 1 == budget.wait(0)


@given(SECONDS, SECONDS, CHANCES)
def test_no_pull_starts_before_the_time_that_the_registry_named(now: float, retry_after: float, chance: float):
    budget = RegistryBudget()

    budget.throttled(budget.start(now), now, retry_after=retry_after, chance=chance)
    budget.end()

    assert budget.wait(now) >= now + retry_after - now
    assert budget.wait(now) <= 2 * retry_after + 60


@given(st.lists(st.tuples(st.sampled_from(["start", "ok", "throttled", "wait"]), st.floats(0, 100), CHANCES)))
def test_pulls_at_once_never_exceed_the_limit(steps):
    """Whatever happens, a start is allowed only below the limit, and some time later it is allowed again."""
    budget, running, now = RegistryBudget(), [], 0.0
    for step, seconds, chance in steps:
        if step == "start" and budget.wait(now) == 0:
            assert len(running) < budget.limit
            running.append(budget.start(now))
        elif step == "wait":
            now += seconds
        elif running:
            epoch = running.pop(0)
            if step == "ok":
                budget.succeeded(epoch)
            else:
                budget.throttled(epoch, now, retry_after=seconds, chance=chance)
            budget.end()
    for _ in running:
        budget.end()

    assert math.isfinite(budget.wait(now))


class Quota:
    """A token bucket: requests per second, and as many at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._tokens, self._at = rate, burst, burst, 0.0

    def takes(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def pull_all(images: int, requests: int, quota: Quota, *, parallel: int, took: float = 0.005) -> tuple[float, int, int]:
    """Pull images of so many requests each; a throttled pull resumes. Returns time, requests, and those refused.

    As containerd does, five more requests follow at once after a refused one.
    """
    budget = RegistryBudget()
    waiting, total, refused = [requests] * images, 0, 0
    running: list[tuple[float, int, int, int]] = []  # time of the next request, order, requests left, epoch
    now = 0.0
    for order in range(10**6):
        if not waiting and not running:
            return now, total, refused
        wait = budget.wait(now) if waiting and len(running) < parallel else math.inf
        if wait == 0:
            heapq.heappush(running, (now, order, waiting.pop(0), budget.start(now)))
            continue
        if not running or running[0][0] > now + wait:
            now += wait
            continue
        now, _, left, epoch = heapq.heappop(running)
        answers = [quota.takes(now)]
        while not answers[-1] and len(answers) <= 5:
            answers.append(quota.takes(now))
        total += len(answers)
        refused += answers.count(False)
        if not answers[-1]:
            budget.throttled(epoch, now, chance=0.5)
            budget.end()
            waiting.insert(0, left)  # see `resumes_first`
        elif left > 1:
            heapq.heappush(running, (now + took, order, left - 1, epoch))
        else:
            budget.succeeded(epoch)
            budget.end()
    raise AssertionError


@pytest.mark.parametrize(("rate", "burst"), [(10, 10), (10, 50), (30, 30)])
def test_after_the_first_throttle_the_pace_is_one_that_the_quota_allows(rate: float, burst: float):
    """40 images of 6 requests, eight at once: only the pulls that run at the first throttle are refused."""
    elapsed, total, refused = pull_all(40, 6, Quota(rate, burst), parallel=8)

    assert refused <= 8 * 6
    assert elapsed < 60
    assert 40 * 6 == total - refused


def test_in_the_long_run_one_request_in_a_thousand_is_refused():
    """2,000 images of 6 requests; 8 times 6 are refused at the first throttle, as eight pulls run then."""
    _, total, refused = pull_all(2000, 6, Quota(10, 10), parallel=8)

    assert (refused - 8 * 6) / total <= 0.001


def test_with_a_small_quota_few_requests_are_refused():
    """500 images of 6 requests at one request a second, where a pull of ours must begin every 6 seconds."""
    elapsed, total, refused = pull_all(500, 6, Quota(1, 10), parallel=8)

    assert refused / total < 0.04
    assert elapsed < 1.5 * 500 * 6


def test_pulls_with_more_requests_than_the_registry_takes_at_once_end_too():
    """Each of 40 pulls is refused three times, and pauses for seven seconds and their jitter."""
    elapsed, _, _ = pull_all(40, 40, Quota(10, 10), parallel=8)

    assert elapsed < 20 * 60


def test_a_throttled_pull_goes_first_five_times_and_then_last():
    assert [True, True, True, True, True, False, True] == [resumes_first(times) for times in range(1, 8)]


def test_the_constants_can_be_set():
    budget = RegistryBudget(Pacing(first_pause=0.1))

    assert 0.1 == budget.throttled(budget.start(0), 0)
