"""The supervisor: waits for time, signals and edits, starts runs and reaps them. `Schedule` and `Lists` decide."""

from __future__ import annotations

# The C module: signal.py is too large.
import _signal as signal  # type: ignore[import-not-found]
import os
import sys
import time

from nodeprefetch.keep import log, schedule
from nodeprefetch.keep.lists import CHANGED, FOUND, LOST, Lists, memory_file
from nodeprefetch.keep.orders import (
    ALLOWED_FAILURES,
    BROKEN_LIST,
    ORDER_VARIABLE,
    SOME_IMAGE_MISSING,
    STALE_TAGS,
    STALE_UNREPORTED,
    STILL_CLOSED,
    UNDELIVERED,
    UNREPORTED,
    Order,
    Plan,
    Rejection,
)
from nodeprefetch.keep.readiness import Readiness
from nodeprefetch.keep.schedule import ALLOWED, BLIND, BROKEN, DONE, FAILED, STALE, STOPPED, Schedule

TYPE_CHECKING = False  # typing is large
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeprefetch.keep.port import Port

VERDICTS = {
    0: DONE,
    SOME_IMAGE_MISSING: FAILED,
    STALE_TAGS: STALE,
    STILL_CLOSED: schedule.STILL_CLOSED,
    ALLOWED_FAILURES: ALLOWED,
    UNREPORTED: DONE,
    STALE_UNREPORTED: STALE,
    UNDELIVERED: DONE,
}
"""Of a run's exit code; any other one: `BLIND`."""

REASONS = {
    STILL_CLOSED: "startup taints of the node could not be removed, or its condition could not be set",
    ALLOWED_FAILURES: "images are missing, --allow-failures allows it",
}
"""Why a run failed, where the code alone would not say it."""

LOOK_EVERY = 10.0
"""Seconds between two looks at the lists; not more than between two checks."""

LONGEST_WAIT = 3600.0
"""Seconds, for what the system call takes."""

SIGNAL_BASE = 128
STOPS = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOPS, signal.SIGHUP, signal.SIGCHLD)

SUPERSEDED = signal.SIGHUP
"""Stops a run whose list has changed: it keeps the label, as another run follows. See `nodeprefetch.pull.run`."""


def supervise(arguments: Sequence[str]) -> int:
    """Keep the images until SIGTERM or SIGINT. Returns 128 + the signal's number.

    The signals are blocked and waited for. This also works as PID 1, for which the kernel discards signals without a
    handler, and none is lost before the wait.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, the kernel reaps
    return _Supervisor(Plan.parse(arguments)).run()


def _jitter() -> float:
    return int.from_bytes(os.urandom(6), "big") / 2.0**48


def _port(descriptor: int) -> Port | None:
    if descriptor < 0:
        return None
    from nodeprefetch.keep.port import Port  # noqa: PLC0415 - needs memory

    return Port(descriptor)


class _Supervisor:
    __slots__ = (
        "_child",
        "_command",
        "_expected",
        "_is_stopped",
        "_lists",
        "_log_format",
        "_look_every",
        "_port",
        "_readiness",
        "_rejected",
        "_schedule",
    )

    def __init__(self, plan: Plan) -> None:
        self._command = [sys.executable, *plan.command]
        self._log_format = plan.log_format
        self._lists = Lists(plan.paths, plan.snapshot)
        self._look_every = min(LOOK_EVERY, plan.check_every)
        self._port = _port(plan.port)
        self._readiness = Readiness()
        self._schedule = Schedule(
            time.monotonic(),
            check_every=plan.check_every,
            refresh_every=plan.refresh_every,
            report_every=plan.report_every,
            place=plan.place,
            jitter=_jitter,
            gate_at=plan.gate_at,
        )
        self._expected = memory_file("expected")
        self._rejected = memory_file("rejected")
        self._child = 0
        """Process ID of the run under way; 0: none."""

        self._is_stopped = False
        """The run under way was told to stop, as the list has changed."""

        every = plan.refresh_every
        self._log(
            log.INFO,
            "keeping images",
            check_every=plan.check_every,
            refresh_every="never" if every == float("inf") else every,
        )

    def run(self) -> int:
        looks = self._lists.can_change or self._port is not None
        look_at = 0.0
        while True:
            now = time.monotonic()
            kind = self._schedule.due(now)
            if looks and (kind or now >= look_at):
                self._look()
                kind = self._schedule.due(now)
                look_at = now + self._look_every
            if kind:
                self._start(kind)
            self._show_readiness()
            until = min(self._schedule.wake_at, look_at if looks else now + LONGEST_WAIT)
            number = self._wait(until - time.monotonic())
            if number == signal.SIGCHLD:
                if (code := self._reap()) is not None:
                    self._judge(code)
            elif number == signal.SIGHUP:
                self._schedule.ask()
            elif number:
                return self._end(number)

    def _wait(self, seconds: float) -> int:
        """Wait for a signal. Returns its number; 0: there was none in that time."""
        received = signal.sigtimedwait(SIGNALS, min(max(seconds, 0.0), LONGEST_WAIT))
        return int(received.si_signo) if received else 0

    def _look(self) -> None:
        if self._port:
            self._port.discard()
        found = self._lists.look()
        if found == LOST:
            text = "cannot read an image list, the last valid lists stay in force"
            self._log(log.WARNING, text, error=self._lists.problem)
            Rejection(since=time.time(), problems=[self._lists.problem]).write(self._rejected)
            self._schedule.ask_report()
        elif found == FOUND:
            self._log(log.INFO, "image lists can be read again")
            if self._lists.retry():  # for a run that says what is wrong with them
                self._schedule.ask()
            self._schedule.ask_report()
        elif found == CHANGED:
            self._log(log.INFO, "image list changed")
            self._schedule.ask()
            self._readiness.forget()
            if self._child and not self._is_stopped:
                self._is_stopped = True
                os.kill(self._child, SUPERSEDED)

    def _start(self, kind: str) -> None:
        snapshot = self._lists.give()
        if not self._lists.are_rejected:
            os.ftruncate(self._rejected, 0)
        order = Order(
            kind=kind,
            is_settled=self._schedule.is_settled and not self._lists.is_given_on_trial,
            is_report=self._schedule.begin(time.monotonic(), kind),
            expected=self._expected,
            rejected=self._rejected,
            snapshot=snapshot,
        )
        self._is_stopped = False
        try:
            self._child = os.posix_spawn(
                self._command[0],
                self._command,
                {**os.environ, ORDER_VARIABLE: str(order)},
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                setpgroup=0,  # a terminal's SIGINT comes to us alone, and we pass it on
                setsigmask=(),
                setsigdef=SIGNALS,
            )
        except OSError as error:  # no memory, or no process ID left
            self._fail(BLIND, f"cannot start: {error.strerror}")

    def _reap(self) -> int | None:
        """Reap everything that has ended, as PID 1 also orphans. Returns the run's exit code, if it is among them."""
        code = None
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return code
                if pid == self._child:
                    self._child = 0
                    code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return code

    def _judge(self, code: int) -> None:
        if code == BROKEN_LIST and self._lists.is_given_on_trial:
            self._lists.refuse()
            self._log(log.WARNING, "image list is invalid, the last valid lists stay in force")
            self._end_run(BROKEN)
            return
        if code >= 0:  # otherwise it may not have come to its lists
            self._lists.accept()
        verdict = STOPPED if self._is_stopped else VERDICTS.get(code, BLIND)
        if verdict in (DONE, STALE, STOPPED):
            self._end_run(
                verdict,
                is_reported=code not in (UNREPORTED, STALE_UNREPORTED),
                is_delivered=code != UNDELIVERED,
            )
        elif code in REASONS:
            self._fail(verdict, REASONS[code])
        else:
            self._fail(verdict, f"exit code {code}" if code >= 0 else f"killed by signal {-code}")

    def _fail(self, verdict: str, error: str) -> None:
        self._end_run(verdict)
        delay = max(self._schedule.wake_at - time.monotonic(), 0.0)
        self._log(log.WARNING, "run failed, retrying", delay=delay, error=error)

    def _end_run(self, verdict: str, *, is_reported: bool = True, is_delivered: bool = True) -> None:
        now = time.monotonic()
        self._schedule.end(now, verdict, is_reported=is_reported, is_delivered=is_delivered)
        self._readiness.judge(verdict)
        if not is_reported:
            self._log(log.WARNING, "node not updated, retrying", delay=max(self._schedule.wake_at - now, 0.0))

    def _show_readiness(self) -> None:
        """Open or close the port. Also a list that is invalid, or cannot be read, is not on the node."""
        is_ready = self._readiness.is_ready and self._lists.are_in_force
        if self._port is None or is_ready == self._port.is_open:
            return
        if not is_ready:
            self._port.close()
            self._log(log.INFO, "not ready")
            return
        try:
            self._port.open()
        except OSError as error:
            self._log(log.WARNING, "cannot listen for readiness probes", error=error.strerror or "")
        else:
            self._log(log.INFO, "ready")

    def _end(self, number: int) -> int:
        """Stop the run as `fetch` is stopped, and wait for its end; a second signal ends it and us at once."""
        if self._port and self._port.is_open:
            self._port.close()
        if self._child and not self._is_stopped:  # otherwise it is ending, and a second signal would kill it
            os.kill(self._child, number)
        while self._child:
            received = self._wait(LONGEST_WAIT)
            if received in STOPS:
                os.kill(self._child, signal.SIGKILL)
                return SIGNAL_BASE + received
            self._reap()
        return SIGNAL_BASE + number

    def _log(self, level: str, message: str, **fields: str | float) -> None:
        log.write(self._log_format, level, message, **fields)
