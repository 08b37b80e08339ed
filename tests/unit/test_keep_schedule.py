"""When `keep` runs what, in exact numbers on virtual time."""

import math
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.keep.schedule import (
    BROKEN,
    CHECK,
    DONE,
    FAILED,
    REFRESH,
    STALE,
    STILL_CLOSED,
    STOPPED,
    Schedule,
    next_at,
)
from nodeprefetch.tickets.spread import place

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

UNHEARD, UNDELIVERED = " unheard", " undelivered"
"""After a verdict: the API server did not answer."""


class Days:
    """A schedule on virtual time.

    Args:
        start: seconds since the node's start.
        results: verdicts of the first runs; later ones are `DONE`.
        takes: seconds of each run.
        place: of the node.
        jitter: 1 for the whole of each pause.
    """

    def __init__(
        self,
        *results: str,
        start: float = 1000.0,
        takes: float = 2.0,
        check_every: float = 5 * MINUTE,
        refresh_every: float = HOUR,
        report_every: float = math.inf,
        place: float = 0.5,
        jitter: Callable[[], float] = lambda: 1.0,
        gate_at: float = math.inf,
    ) -> None:
        self.now = start
        self.runs: list[tuple[float, str]] = []
        self.reports: list[float] = []
        """When runs began that report everything."""

        self._results = list(results)
        self._takes = takes
        self._ends: float = math.inf
        self.schedule = Schedule(
            start,
            check_every=check_every,
            refresh_every=refresh_every,
            report_every=report_every,
            place=place,
            jitter=jitter,
            gate_at=gate_at,
        )

    def go_on(self, until: float, happens: Mapping[float, Callable[[], None]] | None = None) -> None:
        """Let time pass until then, and things happen in order of their times."""
        for at, event in sorted((happens or {}).items()):
            self._pass(at)
            event()
        self._pass(until)

    def end_now(self, verdict: str) -> None:
        """The run under way ends early."""
        self._ends = math.inf
        self.schedule.end(self.now, verdict)

    def _pass(self, until: float) -> None:
        while (at := min(self._ends, self.schedule.wake_at)) <= until:
            self.now = max(self.now, at)
            if self._ends <= self.now:
                self._ends = math.inf
                verdict, *but = (self._results.pop(0) if self._results else DONE).split(" ")
                heard, delivered = UNHEARD.strip() not in but, UNDELIVERED.strip() not in but
                self.schedule.end(self.now, verdict, is_reported=heard, is_delivered=delivered)
            elif kind := self.schedule.due(self.now):
                self.runs.append((self.now, kind))
                if self.schedule.begin(self.now, kind):
                    self.reports.append(self.now)
                self._ends = self.now + self._takes
        self.now = until


def test_it_begins_with_a_refresh_and_checks_at_its_place() -> None:
    """Place 0.5 of 300 s: due at 150 + n * 300, so at 1050, 1350, 1650."""
    node = Days()

    node.go_on(1700)

    assert [(1000, REFRESH), (1050, CHECK), (1350, CHECK), (1650, CHECK)] == node.runs


def test_a_refresh_takes_the_place_of_the_check_at_the_same_moment() -> None:
    """Place 0 of 3600 s: due at 3600, when a check is due too."""
    node = Days(start=3200, place=0.0)

    node.go_on(4000)

    assert [(3200, REFRESH), (3300, CHECK), (3600, REFRESH), (3900, CHECK)] == node.runs


def test_never_refreshes_if_told_so() -> None:
    node = Days(refresh_every=math.inf)

    node.go_on(1000 + DAY)

    assert [1000.0] == [at for at, kind in node.runs if kind == REFRESH]
    assert DAY / (5 * MINUTE) == len(node.runs) - 1


def test_a_day_has_288_checks_and_24_refreshes() -> None:
    """288 moments for checks; place 0.3: checks at 90 + n * 300, refreshes at 1080 + n * 3600, never together."""
    node = Days(start=0.0, place=0.3)

    node.go_on(DAY)

    assert {CHECK: 288, REFRESH: 1 + 24} == Counter(kind for _, kind in node.runs)


def test_the_place_stays_over_restarts() -> None:
    whole, restarted = Days(start=0.0), Days(start=5000.0)
    whole.go_on(DAY)
    restarted.go_on(DAY)

    assert [run for run in whole.runs if run[0] > 5000] == restarted.runs[1:]


def test_five_thousand_nodes_never_act_in_step() -> None:
    """Over 300 s, 16.7 a second on average, like calls at random: never as many as 45."""
    moments = Counter(int(next_at(1e6, 300.0, place("web", f"node-{number}"))) for number in range(5000))

    assert 300 <= len(moments) <= 301
    assert max(moments.values()) < 45


def test_a_failed_run_is_repeated_after_1_2_4_8_and_15_minutes() -> None:
    """Instead of checks. Each run takes 2 s, and the pause begins at its end. Done: back to 150 + n * 300."""
    node = Days(*[FAILED] * 7)

    node.go_on(6000)

    starts = [at for at, _ in node.runs]
    assert [60, 120, 240, 480, 900, 900, 900] == [after - before - 2 for before, after in pairwise(starts)][:7]
    assert {REFRESH} == {kind for _, kind in node.runs[:8]}
    assert [(4650 + n * 300, CHECK) for n in range(3)] == [run for run in node.runs[8:] if run[1] == CHECK][:3]


def test_jitter_takes_up_to_half_of_the_pause() -> None:
    """31 s = 60 s * (0.5 + 0.5 * 1/30)."""
    node = Days(FAILED, jitter=lambda: 1 / 30)

    node.go_on(1040)

    assert [1000.0, pytest.approx(1000 + 2 + 31)] == [at for at, _ in node.runs]


def test_a_failed_check_is_repeated_as_a_check_and_asks_no_registry() -> None:
    """Checks at 1050 and, failed at 1052, at 1112."""
    node = Days(DONE, FAILED)

    node.go_on(1200)

    assert [(1000, REFRESH), (1050, CHECK), (1112, CHECK)] == node.runs


def test_a_retry_refreshes_if_a_refresh_came_due_meanwhile() -> None:
    """The refresh is due at 1800; the check of 1650 fails at 1652 and 1714, and is repeated at 1836."""
    node = Days(DONE, DONE, DONE, FAILED, FAILED)

    node.go_on(1840)

    assert [(1650, CHECK), (1712, CHECK), (1834, REFRESH)] == node.runs[3:]


def test_a_refresh_that_left_something_stale_is_repeated_and_checks_go_on() -> None:
    """1000 takes 2 s: again after 60, 120 and 240 s, and the checks at 1050 and 1350."""
    node = Days(STALE, DONE, STALE, STALE, DONE)

    node.go_on(1700)

    assert [
        (1000, REFRESH),
        (1050, CHECK),
        (1062, REFRESH),
        (1184, REFRESH),
        (1350, CHECK),
        (1426, REFRESH),
        (1650, CHECK),
    ] == node.runs


def test_what_the_api_server_did_not_hear_is_said_again_by_checks_none_of_which_is_late() -> None:
    """1000 takes 2 s: again after 60 s, but a check is due at 1050. That ends at 1052: again after 120 s."""
    node = Days(DONE + UNHEARD, DONE + UNHEARD, DONE)

    node.go_on(1060)
    assert not node.schedule.is_settled
    node.go_on(1700)

    assert [(1000, REFRESH), (1050, CHECK), (1172, CHECK), (1350, CHECK), (1650, CHECK)] == node.runs
    assert node.schedule.is_settled


def test_what_is_stale_besides_is_refreshed_as_ever() -> None:
    """The refresh ends at 1002 and is repeated after 60 s, whatever the check at 1050 says."""
    node = Days(STALE + UNHEARD, DONE + UNHEARD, DONE)

    node.go_on(1300)

    assert [(1000, REFRESH), (1050, CHECK), (1172, REFRESH)] == node.runs


def test_a_stale_refresh_delays_no_refresh() -> None:
    """The refreshes end at 1502, 1564, 1686; the pause is 240 s then, but a refresh is due at 1800."""
    node = Days(STALE, STALE, STALE, start=1500.0, check_every=HOUR)

    node.go_on(1802)

    assert [1500, 1562, 1684, 1800] == [at for at, _ in node.runs]


def test_the_first_pause_is_no_longer_than_the_time_between_checks() -> None:
    node = Days(FAILED, FAILED, check_every=4.0, takes=0.0)

    node.go_on(1013)

    assert [1000, 1004, 1012] == [at for at, _ in node.runs]


def test_a_new_list_is_run_at_once_also_while_a_failure_waits() -> None:
    node = Days(FAILED)

    node.go_on(1050, {1010: node.schedule.ask})

    assert [(1000, REFRESH), (1010, REFRESH), (1050, CHECK)] == node.runs


def test_a_new_list_interrupts_a_run_and_the_next_begins_at_once() -> None:
    node = Days(takes=100.0)

    def edit() -> None:
        node.schedule.ask()
        node.end_now(STOPPED)

    node.go_on(1101, {1010: edit})

    assert [(1000, REFRESH), (1010, REFRESH)] == node.runs


def test_one_run_at_a_time() -> None:
    """Each takes 700 s, more than twice the time between checks: 1700 is followed by the check at 1950."""
    node = Days(takes=700.0, refresh_every=math.inf)

    node.go_on(3000)

    assert [(1000, REFRESH), (1950, CHECK), (2850, CHECK)] == node.runs


def test_a_refresh_that_came_due_during_a_check_follows_it() -> None:
    """The check of 1650 takes until 1850, the refresh was due at 1800."""
    node = Days(takes=200.0)

    node.go_on(1900)

    assert [(1650, CHECK), (1850, REFRESH)] == node.runs[-2:]


def test_a_signal_during_a_run_is_followed_by_another() -> None:
    node = Days(takes=10.0)

    node.go_on(1030, {1005: node.schedule.ask})

    assert [(1000, REFRESH), (1010, REFRESH)] == node.runs


def test_a_broken_list_changes_nothing_while_all_is_well() -> None:
    node = Days(DONE, BROKEN)

    node.go_on(1060, {1010: node.schedule.ask})

    assert [(1000, REFRESH), (1010, REFRESH), (1050, CHECK)] == node.runs
    assert node.schedule.is_settled


def test_a_broken_list_that_interrupted_a_run_is_followed_by_the_last_good_one() -> None:
    """Judged at 1012, after 2 s."""
    node = Days(BROKEN)

    def edit() -> None:
        node.schedule.ask()
        node.end_now(STOPPED)

    node.go_on(1020, {1001: edit})

    assert [(1000, REFRESH), (1001, REFRESH), (1003, REFRESH)] == node.runs


@pytest.mark.parametrize(("verdict", "settled"), [(DONE, True), (STALE, True), (FAILED, False), (STOPPED, False)])
def test_it_is_settled_after_a_run_that_found_or_brought_everything(verdict: str, settled: bool) -> None:  # noqa: FBT001
    node = Days(DONE, verdict)

    node.go_on(1053)

    assert settled is node.schedule.is_settled


def test_refreshes_report_so_there_is_no_run_for_reports_alone() -> None:
    """By default: as many runs as without reports, and a report with each refresh after the first half hour."""
    silent, reporting = Days(start=0.0, place=0.3), Days(start=0.0, place=0.3, report_every=HOUR)

    silent.go_on(DAY)
    reporting.go_on(DAY)

    assert silent.runs == reporting.runs
    assert pytest.approx([0, *(1080 + HOUR * n for n in range(1, 24))]) == reporting.reports


def test_a_day_without_refreshes_has_24_reports_at_the_place_of_the_node() -> None:
    """Place 0.3: reports at 1080 + n * 3600; the one at 1080 is left out, as the first run is less than half an hour
    before it. The 288 moments of checks, 90 + n * 300, are others, and checks that find everything say nothing."""
    node = Days(start=0.0, place=0.3, refresh_every=math.inf, report_every=HOUR)

    node.go_on(DAY)

    assert pytest.approx([0, *(1080 + HOUR * n for n in range(1, 24))]) == node.reports
    assert {REFRESH: 1, CHECK: 288 + 23} == Counter(kind for _, kind in node.runs)


def test_without_anybody_who_hears_them_there_are_no_reports() -> None:
    node = Days(start=0.0)

    node.go_on(DAY, {HOUR: node.schedule.ask_report})

    assert [] == node.reports


@pytest.mark.parametrize("refresh_every", [0.5 * HOUR, HOUR, 2 * HOUR, DAY, math.inf])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.99])
def test_there_is_never_more_than_an_hour_and_a_half_between_reports(refresh_every: float, place: float) -> None:
    node = Days(start=0.0, place=place, refresh_every=refresh_every, report_every=HOUR)

    node.go_on(7 * DAY)

    assert max(after - before for before, after in pairwise(node.reports)) <= 1.5 * HOUR + 2
    assert min(after - before for before, after in pairwise(node.reports)) >= 0.5 * HOUR - 1e-6


def test_the_reports_of_five_thousand_nodes_are_spread_also_after_an_edit_on_all_of_them() -> None:
    """All run at 10,000; the next report of each comes at its place within the hour from 11,800 on. In the 60 parts of
    that hour there are 83 on average."""
    parts: Counter[int] = Counter()
    for number in range(5000):
        where = place("web", f"node-{number}")
        node = Days(start=10_000.0, place=where, refresh_every=math.inf, report_every=HOUR, check_every=DAY)
        node.go_on(15_402)
        (_, report) = node.reports
        parts[int((report - 11_802) // MINUTE)] += 1

    assert range(60) == range(min(parts), max(parts) + 1)
    assert max(parts.values()) < 130


def test_a_run_that_says_everything_anyway_is_the_next_report_if_the_last_was_half_an_hour_ago() -> None:
    """Reports are due at 1800 + n * 3600. The check of 7050 fails, but its retry at 7112 is too soon after the report
    of 7000. The check of 8850 fails, and its retry at 8912 is the report of 9000."""
    node = Days(DONE, FAILED, *[DONE] * 6, FAILED, start=7000.0, refresh_every=math.inf, report_every=HOUR)

    node.go_on(DAY / 4)

    assert [7050, 7112, 8850, 8912] == [node.runs[number][0] for number in (1, 2, 8, 9)]
    assert [7000, 8912, 12600, 16200, 19800] == node.reports


def test_a_rejected_list_is_reported_at_once() -> None:
    """Judged at 1012."""
    node = Days(DONE, BROKEN, report_every=HOUR)

    node.go_on(1020, {1010: node.schedule.ask})

    assert [(1000, REFRESH), (1010, REFRESH), (1012, CHECK)] == node.runs
    assert 1012 == node.reports[-1]


def test_a_list_that_is_gone_is_reported_at_once() -> None:
    node = Days(report_every=HOUR)

    node.go_on(1020, {1010: node.schedule.ask_report})

    assert [(1000, REFRESH), (1010, CHECK)] == node.runs
    assert [1000, 1010] == node.reports


def test_what_happens_during_a_report_is_reported_after_it() -> None:
    """The first run takes until 1100."""
    node = Days(takes=100.0, report_every=HOUR)

    node.go_on(1101, {1050: node.schedule.ask_report})

    assert [1000, 1100] == node.reports


def test_what_the_aggregator_has_not_heard_is_reported_after_1_2_and_4_minutes() -> None:
    """Each run takes 2 s. Checks go on meanwhile, silent: at 1050 and 1350. The next report is at the node's place,
    1800 + n * 3600, at least half an hour later."""
    missed = DONE + UNDELIVERED
    node = Days(missed, DONE, missed, missed, refresh_every=math.inf, report_every=HOUR)

    node.go_on(6000)

    assert [(1050, CHECK), (1062, CHECK), (1184, CHECK), (1350, CHECK), (1426, CHECK)] == node.runs[1:6]
    assert [1000, 1062, 1184, 1426, 5400] == node.reports


def test_what_an_aggregator_of_the_older_protocol_has_not_heard_is_not_reported() -> None:
    node = Days(DONE + UNDELIVERED)

    node.go_on(HOUR)

    assert [] == node.reports


def test_a_report_that_was_interrupted_is_made_by_the_next_run() -> None:
    node = Days(takes=100.0, report_every=HOUR)

    def edit() -> None:
        node.schedule.ask()
        node.end_now(STOPPED)

    node.go_on(1101, {1010: edit})

    assert [1000, 1010] == node.reports


@given(
    now=st.floats(0, 1e9),
    every=st.floats(0.001, 1e7),
    where=st.floats(0, 1, exclude_max=True),
)
def test_the_next_moment_is_later_and_within_a_period(now: float, every: float, where: float) -> None:
    at = next_at(now, every, where)

    assert now < at <= now + every * 1.001 + 1e-6


def test_runs_leave_no_growth() -> None:
    """With failures, edits and signals among them."""
    chance = random.Random(1)
    schedule = Schedule(
        0.0, check_every=300.0, refresh_every=3600.0, report_every=7200.0, place=0.3, jitter=chance.random
    )
    now = 0.0

    def live(runs: int) -> None:
        nonlocal now
        for _ in range(runs):
            if chance.random() < 0.01:
                schedule.ask()
            now = max(now, schedule.wake_at)
            schedule.begin(now, schedule.due(now))
            schedule.end(now + 1, chance.choice((DONE, DONE, DONE, FAILED, STOPPED, BROKEN)))

    live(1000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    live(1_000)
    after_some = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert abs(after_some - before) < 1000
    assert all(not isinstance(getattr(schedule, name), list | dict | set) for name in Schedule.__slots__)


def test_after_failed_runs_one_is_due_when_the_gate_gives_up() -> None:
    """The pauses have grown to 8 minutes by then: the node would wait as long."""
    days = Days(*9 * [FAILED], start=0.0, takes=0.0, refresh_every=math.inf, gate_at=16 * MINUTE)

    days.go_on(45 * MINUTE)

    assert [0, 1, 3, 7, 15, 16, 31] == [at / MINUTE for at, _ in days.runs]


def test_a_gate_that_gives_up_during_a_run_is_that_runs_business() -> None:
    days = Days(*9 * [FAILED], start=0.0, takes=2 * MINUTE, refresh_every=math.inf, gate_at=MINUTE)

    days.go_on(10 * MINUTE)

    assert [0, 3, 7] == [at / MINUTE for at, _ in days.runs]


def test_a_gate_is_no_reason_for_a_run_once_the_images_are_there() -> None:
    days = Days(start=0.0, takes=0.0, place=0.5, refresh_every=math.inf, gate_at=4 * MINUTE)

    days.go_on(8 * MINUTE)

    assert [0, 2.5, 7.5] == [at / MINUTE for at, _ in days.runs]


def test_taints_that_could_not_be_removed_are_tried_again_soon_whatever_failed_before() -> None:
    days = Days(*4 * [FAILED], *3 * [STILL_CLOSED], start=0.0, takes=0.0, refresh_every=math.inf)

    days.go_on(22 * MINUTE)

    assert [0, 1, 3, 7, 15, 16, 18, 22] == [at / MINUTE for at, _ in days.runs]
    assert days.schedule.is_settled


def test_a_node_whose_taints_could_not_be_removed_is_not_settled() -> None:
    days = Days(STILL_CLOSED, start=0.0, takes=0.0)

    days.go_on(1)

    assert not days.schedule.is_settled
