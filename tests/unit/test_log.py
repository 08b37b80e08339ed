"""One line an event, in logfmt and in JSON."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    CredentialsMatched,
    Event,
    GateOpened,
    ImageFinished,
    ImagesListed,
    ListRejected,
    NodeConditionSet,
    NodeLabelled,
    Notice,
    Outcome,
    Phase,
    Progress,
    PullsPaused,
    PullsResumed,
    RegistryThrottled,
    RetryPlanned,
    RunEnd,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
    StartAllowed,
    StartDelayed,
    TagMoved,
    TaintsRemoved,
)
from nodeprefetch.report.log import log_to, lost
from nodeprefetch.settings import LogFormat, PullPolicy
from nodeprefetch.text.outlet import Importance

AT = 1_700_000_000.25
TIME = "2023-11-14T22:13:20.250Z"


def lines(*events: Event, style: LogFormat = LogFormat.LOGFMT) -> list[str]:
    written: list[str] = []
    emit = log_to(lambda text, _importance: written.append(text), style)
    for event in events:
        emit(event)
    return written


ATTEMPT = {"attempt_id": "x", "image": "a:1", "attempt": 2, "limit": 60.0}
OUTCOME = {"image": "a:1", "policy": PullPolicy.ALWAYS, "attempts": 2, "elapsed": 91.5}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            RunStarted(
                run_id="r", node="n1", version="1", runtime="containerd 2", socket="/s", images=("a", "b"), at=AT
            ),
            'level=INFO msg="run started" run=r node=n1 version=1 runtime="containerd 2" socket=/s images=2',
        ),
        (
            AttemptStarted(**ATTEMPT, credential="docker-config x quay.io", at=AT),
            'level=INFO msg=pulling image=a:1 attempt=2 limit=1m credential="docker-config x quay.io"',
        ),
        (
            AttemptFinished(**ATTEMPT, started_at=AT, duration=1.23456, size=7, digest="sha256:0", at=AT),
            "level=INFO msg=pulled image=a:1 attempt=2 limit=1m elapsed=1.235s size=7 digest=sha256:0",
        ),
        (
            AttemptFinished(
                **ATTEMPT, started_at=AT, duration=60, error="cut", error_class="passing", reason="timeout", at=AT
            ),
            (
                'level=WARN msg="attempt failed" image=a:1 attempt=2 limit=1m elapsed=1m error=cut '
                "class=passing reason=timeout"
            ),
        ),
        (
            TagMoved(image="a:1", before="sha256:0", after="sha256:1", at=AT),
            'level=INFO msg="tag moved" image=a:1 before=sha256:0 after=sha256:1',
        ),
        (
            Progress(
                attempt_id="x",
                image="a:1",
                phase=Phase.DOWNLOADING,
                done_bytes=1_500,
                total_bytes=4_500,
                rate=30,
                at=AT,
            ),
            "level=INFO msg=downloading image=a:1 done=1500 total=4500 percent=33 rate=30 left=1m40s",
        ),
        (
            Progress(attempt_id="x", image="a:1", phase=Phase.RESOLVING, at=AT),
            "level=INFO msg=resolving image=a:1",
        ),
        (
            Progress(attempt_id="x", image="a:1", phase=Phase.UNPACKING, done_bytes=7, total_bytes=7, rate=3, at=AT),
            "level=INFO msg=unpacking image=a:1 done=7 total=7 percent=100 rate=3",
        ),
        (
            CredentialsMatched(image="a:1", credentials=("x quay.io (password)",), complete=False, at=AT),
            'level=INFO msg="matching credentials" image=a:1 credentials="x quay.io (password)" complete=no',
        ),
        (
            CredentialsMatched(image="a:1", credentials=(), complete=True, at=AT),
            'level=INFO msg="matching credentials" image=a:1 credentials=none complete=yes',
        ),
        (
            RetryPlanned(image="a:1", delay=0.5, at=AT),
            'level=INFO msg="retrying after delay" image=a:1 delay=500ms',
        ),
        (
            RuntimeLost(error="gone", at=AT),
            'level=WARN msg="container runtime unavailable, pulls paused" error=gone',
        ),
        (
            StartDelayed(ahead=17, pulling=10, limit=10, at=AT),
            'level=INFO msg="waiting for a ticket" ahead=17 pulling=10 limit=10',
        ),
        (
            StartDelayed(starts_in=540, error="away", at=AT),
            'level=WARN msg="no answer about a ticket" error=away starts_in=9m',
        ),
        (
            StartDelayed(starts_in=540, at=AT),
            'level=INFO msg="waiting for this node\'s place in the spread" starts_in=9m',
        ),
        (StartAllowed(after=90, has_ticket=True, at=AT), 'level=INFO msg="pulls may start" waited=1m30s ticket=yes'),
        (RuntimeReturned(after=3.0, at=AT), 'level=INFO msg="container runtime available again" after=3s'),
        (
            RegistryThrottled(registry="quay.io", seconds=1.5, total=4.5, error="429", at=AT),
            'level=WARN msg="registry throttles pulls" registry=quay.io delay=1.5s total=4.5s error=429',
        ),
        (
            PullsPaused(reason="other-pull", images=("a:1", "b:1"), detail="another pull on this node", at=AT),
            'level=INFO msg="pulls paused" reason=other-pull detail="another pull on this node" images=a:1,b:1',
        ),
        (
            PullsResumed(reason="other-pull", images=("a:1",), after=3.0, at=AT),
            'level=INFO msg="pulls resumed" reason=other-pull after=3s images=a:1',
        ),
        (
            ImageFinished(**OUTCOME, outcome=Outcome.SUCCEEDED, at=AT),
            'level=INFO msg="image succeeded" image=a:1 attempts=2 elapsed=1m31.5s',
        ),
        (
            ImageFinished(**OUTCOME, outcome=Outcome.FAILED, error="no", error_class="permanent", reason="x", at=AT),
            'level=ERROR msg="image failed" image=a:1 attempts=2 elapsed=1m31.5s error=no class=permanent reason=x',
        ),
        (
            ImagesListed(when="before", images=("a", "b"), at=AT),
            'level=INFO msg="images present before the pulls" count=2 images=a,b',
        ),
        (
            ImagesListed(when="after", images=(), error="gone", at=AT),
            'level=WARN msg="images present after the pulls" error=gone',
        ),
        (
            ListRejected(problems=("x", "y"), since=AT - 60, at=AT),
            'level=WARN msg="image lists rejected, using the last valid ones" error=x problems=2 since='
            + TIME.replace("13:20", "12:20"),
        ),
        (GateOpened(after=51.5, at=AT), 'level=INFO msg="gate opened" after=51.5s'),
        (
            GateOpened(after=900, gave_up=True, missing=("a:1", "b:1"), missing_count=2, at=AT),
            'level=WARN msg="gate opened without all images" after=15m count=2 missing=a:1,b:1',
        ),
        (TaintsRemoved(taints=("k=v:NoSchedule",), at=AT), 'level=INFO msg="taints removed" taints="k=v:NoSchedule"'),
        (TaintsRemoved(error="no", at=AT), 'level=WARN msg="taints not removed" error=no'),
        (Notice(message="take care", at=AT), 'level=WARN msg="take care"'),
        (Notice(message="by the way", is_warning=False, at=AT), 'level=INFO msg="by the way"'),
        (
            NodeLabelled(key="x.io/a", value="failed", at=AT),
            'level=INFO msg="node labeled" key=x.io/a value=failed',
        ),
        (
            NodeConditionSet(type="x.io/a", status="False", reason="Pulling", at=AT),
            'level=INFO msg="node condition set" type=x.io/a status=False reason=Pulling',
        ),
        (
            NodeConditionSet(type="x.io/a", status="True", reason="ImagesPresent", error="no", at=AT),
            'level=WARN msg="node condition not set" type=x.io/a status=True reason=ImagesPresent error=no',
        ),
        (NodeLabelled(key="x.io/a", at=AT), 'level=INFO msg="removed stale node label" key=x.io/a'),
        (
            NodeLabelled(key="x.io/a", value="failed", error="no", at=AT),
            'level=WARN msg="node not labeled" key=x.io/a value=failed error=no',
        ),
        (
            RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=2, at=AT),
            'level=INFO msg="run finished" run=r succeeded=1 present=0 failed=0 elapsed=2s',
        ),
        (
            RunFinished(run_id="r", end=RunEnd.STOPPED, succeeded=0, present=0, failed=1, elapsed=2, at=AT),
            'level=ERROR msg="run stopped" run=r succeeded=0 present=0 failed=1 elapsed=2s',
        ),
        (
            RunFinished(
                run_id="r", end=RunEnd.STOPPED, succeeded=0, present=0, failed=1, elapsed=2, superseded=True, at=AT
            ),
            'level=INFO msg="run stopped" run=r succeeded=0 present=0 failed=1 elapsed=2s',
        ),
    ],
)
def test_every_event_has_its_line(event, line):
    assert [f"time={TIME} {line}"] == lines(event)


def test_json_says_the_same_with_durations_in_seconds():
    event = AttemptFinished(**ATTEMPT, started_at=AT, duration=1.5, error="no\nway", error_class="passing", at=AT)

    (line,) = lines(event, style=LogFormat.JSON)

    expected = {"time": TIME, "level": "WARN", "msg": "attempt failed", "image": "a:1", "attempt": 2, "limit": 60.0}
    assert {**expected, "elapsed": 1.5, "error": "no\nway", "class": "passing"} == json.loads(line)


@given(st.text(alphabet=st.characters()))
@example("\x1b[2J\x9b1m\x85\u2028\u202e\udc80\U000e0001")
def test_whatever_is_told_is_one_line_of_printable_characters(text):
    for style in LogFormat:
        (line,) = lines(Notice(message=text), style=style)
        assert line.isprintable()


@given(st.text(alphabet=st.characters()))
def test_json_gives_back_what_was_told(text):
    (line,) = lines(Notice(message=text), style=LogFormat.JSON)

    assert text == json.loads(line)["msg"]


@pytest.mark.parametrize("text", ["a b", 'say "x"', "a=b", "", "ä", "a\tb"])
def test_a_value_that_is_no_plain_word_is_quoted_as_json(text):
    (line,) = lines(RuntimeLost(error=text or " ", at=AT))

    assert (text or " ") == json.loads(line.split(" error=")[1])


def test_a_name_that_is_not_utf_8_has_its_line():
    """As os.environ gives an INSTANCE_NAME with a byte 0x80."""
    event = RunStarted(
        run_id="r", node="n", version="1", runtime="c", socket="/s", images=(), instance="bad\udc80", at=AT
    )

    (line,) = lines(event)

    assert r'instance="bad\udc80"' in line


@pytest.mark.parametrize(
    ("event", "worth"),
    [
        (Progress(attempt_id="x", image="a:1", phase=Phase.DOWNLOADING), Importance.PROGRESS),
        (AttemptStarted(**ATTEMPT), Importance.STEP),
        (AttemptFinished(**ATTEMPT, started_at=AT, duration=1), Importance.STEP),
        (AttemptFinished(**ATTEMPT, started_at=AT, duration=1, error="no"), Importance.RESULT),
        (ImageFinished(**OUTCOME, outcome=Outcome.SUCCEEDED), Importance.RESULT),
        (TagMoved(image="a:1", before="sha256:0", after="sha256:1"), Importance.RESULT),
        (Notice(message="take care"), Importance.RESULT),
        (
            RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=2),
            Importance.RESULT,
        ),
    ],
)
def test_progress_is_worth_least_and_results_most(event, worth):
    told = []
    log_to(lambda _text, importance: told.append(importance), progress_interval=1, clock=lambda: 0)(event)

    assert [worth] == told


@pytest.mark.parametrize("style", LogFormat)
def test_dropped_lines_are_one_line_of_the_same_kind(style):
    line = lost(style)(12)

    assert "12 log lines dropped" in line
    assert {LogFormat.JSON: "{", LogFormat.LOGFMT: "t"}[style] == line[0]


@pytest.mark.parametrize("style", LogFormat)
def test_bytes_of_the_environment_that_are_not_utf8_silence_nothing(style):
    """As `os.environ` gives them."""
    listed = ImagesListed(when="after", images=("a\udcff", "b:1"), at=AT)

    written = lines(Notice(message="my-\udcff", at=AT), listed, Notice(message="next", at=AT), style=style)

    assert 3 == len(written)
    assert "my-" in written[0]
    assert "udcff" in written[0]
    assert "next" in written[2]


def test_an_event_the_log_does_not_know_is_named():
    class Surprise(Event, frozen=True, kw_only=True, tag="surprise"):
        pass

    assert [f"time={TIME} level=INFO msg=Surprise"] == lines(Surprise(at=AT))


def progress_lines(interval: float, *moments: float) -> list[float]:
    """The seconds after the attempt's start at which a line is written, of those at which progress is told."""
    now = 100.0
    written: list[float] = []
    moment = -1.0
    emit = log_to(lambda _text, _importance: written.append(moment), progress_interval=interval, clock=lambda: now)
    emit(AttemptStarted(**ATTEMPT))
    written.clear()
    for moment in moments:
        now = 100 + moment
        emit(Progress(attempt_id="x", image="a:1", phase=Phase.DOWNLOADING))
    return written


def test_progress_is_a_line_each_interval_of_an_attempt_and_none_before():
    assert [10, 20.5, 31] == progress_lines(10, 0, 5, 9, 10, 11, 19.9, 20.5, 30, 31, 32)


def test_with_an_interval_of_0_progress_is_no_line():
    assert [] == progress_lines(0, 0, 10, 1000)
