"""Queries: image-prefetcher's JSON, the Prometheus metrics, the status, the live stream."""

import http.client
import json
import time

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nodeprefetch.aggregator import serve
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.events import (
    AttemptStarted,
    GateOpened,
    ListRejected,
    NodeDescribed,
    NodeLabelled,
    Outcome,
    Phase,
    Progress,
    PullsPaused,
    RegistryThrottled,
    RunEnd,
    RunFinished,
    TagMoved,
)
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of, begun, ended
from tests.support.patience import eventually

MSGPACK = {"content-type": "application/msgpack"}


@pytest.fixture
def aggregator():
    with running_aggregator(on_any_port(bounds=Bounds(readers=1))) as running:
        yield running


def submit(running, *events, **about):
    answer = running.ask("POST", "/v1/events", msgspec.msgpack.encode(batch_of(*events, **about)), MSGPACK)
    assert 200 == answer.status


def status(running, query="", **headers):
    answer = running.ask(
        "GET", f"/v1/status{query}", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return answer.status, answer.headers.get("etag"), json.loads(answer.body) if answer.body else None


# image-prefetcher's JSON


def test_without_results_the_json_is_an_empty_list(aggregator):
    answer = aggregator.ask("GET", "/metrics")

    assert (200, b"[]", "text/plain; charset=utf-8", "2") == (
        answer.status,
        answer.body,
        answer.headers["content-type"],
        answer.headers["content-length"],
    )


def test_the_json_is_that_of_the_older_tool_byte_for_byte(aggregator):
    submit(
        aggregator,
        attempt("a:1", attempt_id="id-1", at=1700000001.5),
        attempt("ü<b>&c:1", attempt_id="id-2", at=1700000001.5, error='no "such"\n\timage\x01 \u2028'),
    )

    assert (
        b'[{"attempt_id":"id-1","started_at":1700000000,"image":"a:1","duration_ms":1500,"node":"node-1",'
        b'"size_bytes":1000},'
        b'{"attempt_id":"id-2","started_at":1700000000,"image":"\xc3\xbc\\u003cb\\u003e\\u0026c:1",'
        b'"error":"no \\"such\\"\\n\\timage\\u0001 \\u2028","duration_ms":1500,"node":"node-1"}]'
    ) == aggregator.ask("GET", "/metrics").body


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_any_method_reads_the_json(aggregator, method):
    answer = aggregator.ask(method, "/metrics")

    assert (200, b"[]") == (answer.status, answer.body)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8"])
def test_who_asks_for_nothing_of_prometheus_gets_json(aggregator, accept):
    assert b"[]" == aggregator.ask("GET", "/metrics", headers={"accept": accept}).body


def test_a_long_list_is_sent_in_parts_and_is_one_list(aggregator):
    for number in range(30):
        submit(aggregator, *[attempt("x" * 1000, error="y" * 1000) for _ in range(100)], run_id=str(number))

    answer = aggregator.ask("GET", "/metrics")

    assert 3000 == len(json.loads(answer.body))
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("path", ["/metrics/", "/page", "/v1", "/Metrics/Other"])
def test_other_paths_are_not_found(aggregator, path):
    answer = aggregator.ask("GET", path)

    assert (404, "not_found") == (answer.status, json.loads(answer.body)["reason"])


@pytest.mark.parametrize("path", ["/metrics", "/v1/status"])
def test_nothing_is_read_on_the_port_for_submission(aggregator, path):
    assert 404 == aggregator.ask("GET", path, port=aggregator.grpc_port).status


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_on_both_ports(aggregator, path):
    assert [200, 200] == [
        aggregator.ask("GET", path, port=port).status for port in (aggregator.http_port, aggregator.grpc_port)
    ]


# The exposition

PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.mark.parametrize(
    ("accept", "parse", "kind"),
    [
        ("text/plain", parse_text, "text/plain"),
        (PROMETHEUS, parse_openmetrics, "application/openmetrics-text"),
    ],
)
def test_the_exposition_counts_what_was_submitted(aggregator, accept, parse, kind):
    submit(aggregator, begun("a:1", "b:1"), attempt("a:1"), ended("a:1", digest="sha256:1"))
    submit(aggregator, attempt("b:1", error="x"), ended("b:1", Outcome.FAILED), run_id="run-1")
    submit(aggregator, ended("a:1", digest="sha256:2"), node="node-2", run_id="run-2")

    answer = aggregator.ask("GET", "/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith(kind)
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parse(answer.body.decode())
        for sample in family.samples
    }
    assert {
        ("nodeprefetch_attempts_total", "", "succeeded"): 1,
        ("nodeprefetch_attempts_total", "failed", "permanent"): 1,
        ("nodeprefetch_pull_duration_seconds_count", "a:1"): 1,
        ("nodeprefetch_pull_duration_seconds_sum", "a:1"): 1.5,
        ("nodeprefetch_pull_duration_seconds_bucket", "1.0", "a:1"): 0,
        ("nodeprefetch_pull_duration_seconds_bucket", "2.5", "a:1"): 1,
        ("nodeprefetch_pulled_bytes_total", "a:1"): 1000,
        ("nodeprefetch_images", "main", "succeeded"): 2,
        ("nodeprefetch_images", "failed", "main"): 1,
        ("nodeprefetch_nodes", "failed", "main"): 1,
        ("nodeprefetch_nodes", "main", "succeeded"): 1,
        ("nodeprefetch_digest_skew_images",): 1,
        ("nodeprefetch_aggregator_accepted_events_total", "http"): 6,
        ("nodeprefetch_aggregator_results",): 2,
    }.items() <= samples.items()


def test_errors_that_fetch_did_not_recognize_are_counted_apart_and_with_their_class(aggregator):
    unknown = msgspec.structs.replace(attempt(error="what is that"), reason="unknown", error_class="passing")
    submit(aggregator, unknown, attempt(error="no such image"))
    submit(aggregator, unknown)

    text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()

    assert "nodeprefetch_unrecognized_errors_total 1.0" in text
    assert 'nodeprefetch_attempts_total{error_class="passing",outcome="failed"} 1.0' in text
    assert 'nodeprefetch_attempts_total{error_class="permanent",outcome="failed"} 1.0' in text


def test_the_pauses_of_registries_are_counted_once(aggregator):
    pauses = [RegistryThrottled(registry="quay.io", seconds=2, total=total, error="429") for total in (2, 4)]
    submit(aggregator, *pauses)
    submit(aggregator, *pauses)

    text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()

    assert 'nodeprefetch_registry_throttled_seconds_total{registry="quay.io"} 4.0' in text


def moved(image="a:1", *, at=100.5, before="sha256:1", after="sha256:2"):
    return TagMoved(at=at, image=image, before=before, after=after)


def test_moves_of_tags_are_counted_once_by_image(aggregator):
    events = [moved("a:1"), moved("b:1"), moved("b:1")]
    submit(aggregator, *events)
    submit(aggregator, *events, attempt())  # another body, so that the events are known one by one
    submit(aggregator, moved("a:1"), node="node-2")
    submit(aggregator, moved("a:1"), run_id="run-2")

    text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()

    assert 'nodeprefetch_tags_moved_total{image="a:1"} 3.0' in text
    assert 'nodeprefetch_tags_moved_total{image="b:1"} 1.0' in text


def move_counts(running):
    text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
    return [line for line in text.splitlines() if line.startswith("nodeprefetch_tags_moved_total{")]


def test_an_image_that_was_pulled_begins_with_no_move_so_that_the_first_is_an_increase(aggregator):
    submit(aggregator, *[attempt(f"image-{number}:1") for number in range(250)])

    before = move_counts(aggregator)
    submit(aggregator, moved("image-249:1"))

    assert [f'nodeprefetch_tags_moved_total{{image="image-{number}:1"}} 0.0' for number in range(200)] == sorted(
        before, key=lambda line: int(line.partition("image-")[2].partition(":")[0])
    )
    assert 200 == len(move_counts(aggregator))
    assert 'nodeprefetch_tags_moved_total{image="image-249:1"} 1.0' in move_counts(aggregator)


def test_images_beyond_two_hundred_share_a_count_of_moves(aggregator):
    submit(aggregator, *[moved(f"image-{number}:1") for number in range(250)])
    submit(aggregator, attempt("pulled:1"))

    counts = move_counts(aggregator)

    assert 201 == len(counts)
    assert 'nodeprefetch_tags_moved_total{image="(others)"} 50.0' in counts


def test_images_beyond_two_hundred_share_a_histogram(aggregator):
    submit(aggregator, *[attempt(f"image-{number}:1") for number in range(250)])

    text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()

    counts = [line for line in text.splitlines() if line.startswith("nodeprefetch_pull_duration_seconds_count")]
    assert 201 == len(counts)
    assert 'nodeprefetch_pull_duration_seconds_count{image="(others)"} 50.0' in counts


# The status


def test_the_status_shows_instances_nodes_and_images(aggregator):
    submit(aggregator, begun("b:1", "a:1", list_digest="0123"), attempt("a:1", attempt_id="x"), ended("a:1"))
    finished = RunFinished(at=120.0, run_id="run-1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=30)
    submit(aggregator, AttemptStarted(at=95.0, attempt_id="y", image="b:1", attempt=1, limit=30.0), finished)

    assert {
        "instances": [
            {
                "instance": "main",
                "nodes": [
                    {
                        "node": "node-1",
                        "state": "pulling",
                        "counts": {"pulling": 1, "succeeded": 1},
                        "run": {
                            "run_id": "run-1",
                            "version": "1.0",
                            "runtime": "containerd 2.0.0",
                            "list_digest": "0123",
                            "started_at": 90.0,
                            "ended_at": 120.0,
                            "end": "finished",
                        },
                        "images": [
                            {
                                "image": "a:1",
                                "state": "succeeded",
                                "since": 101.0,
                                "attempt": 1,
                                "duration": 1.5,
                                "size": 1000,
                                "digest": "sha256:1",
                            },
                            {"image": "b:1", "state": "pulling", "since": 95.0, "attempt": 1},
                        ],
                    }
                ],
            }
        ],
        "skew": [],
        "tickets": {},
        "gone": {},
        "next": None,
    } == status(aggregator)[2]


def test_the_status_shows_what_a_node_object_says(aggregator):
    described = NodeDescribed(zone="eu-1a", pool="batch", created=1.5)
    submit(aggregator, described, begun("a:1"))
    submit(aggregator, begun("a:1", run_id="run-2", node="node-2"), run_id="run-2", node="node-2")
    submit(aggregator, msgspec.structs.replace(described, pool="web"), begun("a:1", run_id="run-3"), run_id="run-3")

    first, second = status(aggregator)[2]["instances"][0]["nodes"]
    assert ("eu-1a", "web", 1.5) == (first["zone"], first["pool"], first["created"])
    assert {"zone", "pool", "created"}.isdisjoint(second)


def test_what_a_node_object_says_is_news_once(aggregator):
    counts = [
        json.loads(
            aggregator.ask(
                "POST", "/v1/events", msgspec.msgpack.encode(batch_of(NodeDescribed(at=at, zone=zone))), MSGPACK
            ).body
        )["accepted"]
        for at, zone in enumerate(("a", "a", "b"))
    ]

    assert [1, 0, 1] == counts


def test_the_status_shows_the_last_move_of_a_tag_also_after_later_runs(aggregator):
    submit(aggregator, begun("a:1", "b:1"), attempt("a:1"), moved(), ended("a:1"), ended("b:1"))
    submit(aggregator, begun("a:1", "b:1", run_id="run-2"), ended("a:1", Outcome.PRESENT), run_id="run-2")

    first, second = status(aggregator)[2]["instances"][0]["nodes"][0]["images"]
    assert {"at": 100.5, "before": "sha256:1", "after": "sha256:2"} == first["moved"]
    assert ("present", "waiting", False) == (first["state"], second["state"], "moved" in second)

    submit(aggregator, moved(at=200.5, before="sha256:2", after="sha256:3"), run_id="run-3")

    assert {"at": 200.5, "before": "sha256:2", "after": "sha256:3"} == (
        status(aggregator)[2]["instances"][0]["nodes"][0]["images"][0]["moved"]
    )


def test_status_and_metrics_show_a_node_that_gave_up_until_its_images_are_there(aggregator):
    def shown():
        text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
        (line,) = [line for line in text.splitlines() if line.startswith("nodeprefetch_nodes_gave_up{")]
        return line, status(aggregator)[2]["instances"][0]["nodes"][0].get("gave_up")

    submit(aggregator, begun("a:1", "b:1"), ended("a:1"))
    before = shown()
    submit(aggregator, GateOpened(at=900.5, after=900, gave_up=True, missing=("b:1",), missing_count=1))
    meanwhile = shown()
    submit(aggregator, GateOpened(at=950, after=950))

    metric = 'nodeprefetch_nodes_gave_up{instance="main"}'
    assert [(f"{metric} 0.0", None), (f"{metric} 1.0", {"at": 900.5, "missing": 1}), (f"{metric} 0.0", None)] == [
        before,
        meanwhile,
        shown(),
    ]


def test_status_and_metrics_show_a_rejected_list_until_it_is_mended(aggregator):
    def shown():
        text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
        (line,) = [line for line in text.splitlines() if line.startswith("nodeprefetch_nodes_list_rejected{")]
        return line.rpartition(" ")[2], status(aggregator)[2]["instances"][0]["nodes"][0].get("list_rejected")

    submit(aggregator, ListRejected(problems=("images.txt:2: no", "images.txt:3: no"), since=80.5), begun("a:1"))
    meanwhile = shown()
    submit(aggregator, begun("a:1", run_id="run-2"), run_id="run-2")

    assert ("1.0", {"since": 80.5, "problem": "images.txt:2: no", "problems": 2}) == meanwhile
    assert ("0.0", None) == shown()


def test_a_node_that_is_silent_leaves_status_and_metrics_and_is_counted_until_it_is_back():
    def gauges():
        text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
        found = dict(line.rsplit(" ", 1) for line in text.splitlines())
        succeeded = '{instance="main",state="succeeded"}'
        names = ('nodes_gone{instance="main"}', f"nodes{succeeded}", f"images{succeeded}")
        return [found[f"nodeprefetch_{name}"] for name in names]

    with running_aggregator(on_any_port(node_retention=1)) as running:
        submit(running, begun("a:1", report_every=0.1), attempt(), ended("a:1"))
        assert eventually(lambda: status(running)[2]["gone"])
        gone, counted = status(running)[2], gauges()
        attempts = json.loads(running.ask("GET", "/metrics").body)
        submit(running, begun("a:1", run_id="run-2"), ended("a:1"), run_id="run-2")
        back = status(running)[2]

        assert ([], {"main": {"nodes": 1, "examples": ["node-1"]}}) == (gone["instances"], gone["gone"])
        assert ["1.0", "0.0", "0.0"] == counted
        assert 1 == len(attempts)
        assert ("node-1", {}) == (back["instances"][0]["nodes"][0]["node"], back["gone"])
        assert ["0.0", "1.0", "1.0"] == gauges()


def test_the_status_shows_how_far_a_pull_is_while_it_is_under_way(aggregator):
    def image():
        _, tag, found = status(aggregator)
        return tag, {name: found["instances"][0]["nodes"][0]["images"][0].get(name) for name in ("state", *progress)}

    progress = {"phase": "downloading", "done_bytes": 5, "total_bytes": 9, "rate": 2}
    told = {"attempt_id": "x", "image": "a:1", "phase": Phase.DOWNLOADING}
    submit(
        aggregator,
        begun("a:1"),
        AttemptStarted(attempt_id="x", image="a:1", attempt=1, limit=30, at=91.0),
        Progress(**told, done_bytes=5, total_bytes=9, rate=2),
        Progress(**{**told, "image": "never-begun:1"}),
    )
    first_tag, first = image()
    submit(aggregator, Progress(**told, done_bytes=6, total_bytes=9, rate=2))
    second_tag, second = image()
    submit(aggregator, PullsPaused(reason="other-pull", images=("a:1", "never-begun:1")))
    paused = status(aggregator)[2]["instances"][0]["nodes"][0]["images"][0]["paused"]
    submit(aggregator, attempt(attempt_id="x"), ended())

    assert {"state": "pulling", **progress} == first
    assert {"state": "pulling", **progress, "done_bytes": 6} == second
    assert first_tag != second_tag
    assert "other-pull" == paused
    assert {"state": "succeeded", **dict.fromkeys(progress)} == image()[1]


@pytest.fixture
def four(aggregator):
    """Two nodes of two instances with three images each."""
    for number in range(4):
        submit(
            aggregator,
            ended("a:1"),
            ended("b:1", Outcome.FAILED),
            ended("c:1", digest=f"sha256:{number}"),
            node=f"node-{number}",
            instance=f"instance-{number % 2}",
            run_id=str(number),
        )
    return aggregator


def keys(content):
    return [
        (instance["instance"], node["node"], image["image"])
        for instance in content["instances"]
        for node in instance["nodes"]
        for image in node["images"]
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 12),
        ("?instance=instance-1", 6),
        ("?node=node-2", 3),
        ("?image=b:1", 4),
        ("?state=failed", 4),
        ("?node=node-2&state=failed", 1),
        ("?node=unknown", 0),
        ("?instance=instance-0&node=node-1", 0),
    ],
)
def test_filters_leave_what_they_name(four, query, expected):
    assert expected == len(keys(status(four, query)[2]))


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 13])
def test_pages_together_are_everything_once(four, limit):
    found, cursor = [], ""
    while cursor is not None:
        content = status(four, f"?limit={limit}{cursor and '&cursor='}{cursor}")[2]
        assert limit >= len(keys(content))
        found += keys(content)
        cursor = content["next"]

    assert sorted(keys(status(four)[2])) == sorted(found)


def test_a_page_counts_all_images_of_its_nodes(four):
    (instance,) = status(four, "?limit=1")[2]["instances"]

    assert ("failed", {"succeeded": 2, "failed": 1}) == (instance["nodes"][0]["state"], instance["nodes"][0]["counts"])


def test_differing_digests_of_a_tag_are_shown(four):
    (skew,) = status(four)[2]["skew"]

    assert ("c:1", 4, ["node-0"]) == (skew["image"], len(skew["digests"]), skew["digests"][0]["examples"])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?limit=0", "bad_limit"),
        ("?limit=10001", "bad_limit"),
        ("?limit=x", "bad_limit"),
        ("?cursor=%21", "bad_cursor"),
        ("?cursor=kwECpA%3D%3D", "bad_cursor"),
        ("?cursor=AAAA", "bad_cursor"),
        ("?state=fine", "unknown_state"),
        ("?nodes=x", "unknown_parameter"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(aggregator, query, reason):
    code, _, content = status(aggregator, query)

    assert (400, reason) == (code, content["reason"])


def test_a_status_that_is_known_is_not_sent_again(four):
    _, tag, _ = status(four)

    assert (304, tag, None) == status(four, if_none_match=f'"other", W/{tag}')
    assert 200 == status(four, "?limit=5", if_none_match=tag)[0]
    submit(four, ended("d:1"))
    assert 200 == status(four, if_none_match=tag)[0]


# The live stream


class Reader:
    """Reads server-sent events."""

    def __init__(self, running, last=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=300)
        self.connection.request("GET", "/v1/events", headers={"last-event-id": last} if last else {})
        self.response = self.connection.getresponse()
        if self.response.status == 200:
            assert b"retry: 2000\n" == self.response.readline()
            assert b"\n" == self.response.readline()

    def next(self):
        message = {}
        while (line := self.response.readline()) != b"\n":
            assert line, "the stream ended"
            name, _, value = line.decode().rstrip("\n").partition(": ")
            message[name] = value
        return message.get("id"), message["event"], json.loads(message["data"])

    def close(self):
        self.response.close()
        self.connection.close()


def test_who_follows_hears_at_once_what_is_stored(aggregator):
    reader = Reader(aggregator)
    submit(aggregator, attempt("a:1"), NodeLabelled(key="k/x", value="succeeded"))

    first, second = reader.next(), reader.next()
    reader.close()

    assert ("1-0", "attempt_finished", "a:1", "node-1", "main", "run-1") == (
        *first[:2],
        first[2]["image"],
        first[2]["node"],
        first[2]["instance"],
        first[2]["run_id"],
    )
    assert ("1-1", "node_labelled") == second[:2]


def test_who_comes_back_goes_on_where_it_was(aggregator):
    submit(aggregator, attempt("a:1"), attempt("b:1"))
    submit(aggregator, attempt("c:1"))
    reader = Reader(aggregator, "1-0")

    found = [reader.next() for _ in range(2)]
    submit(aggregator, attempt("d:1"))
    found.append(reader.next())
    reader.close()

    assert [("1-1", "b:1"), ("2-0", "c:1"), ("3-0", "d:1")] == [(name, data["image"]) for name, _, data in found]


def test_what_comes_again_is_not_told_again(aggregator):
    reader = Reader(aggregator)
    event = attempt("a:1")
    submit(aggregator, event)
    submit(aggregator, event)
    submit(aggregator, event, attempt("b:1"))

    found = [reader.next()[2]["image"] for _ in range(2)]
    reader.close()

    assert ["a:1", "b:1"] == found


def test_a_gap_is_told(aggregator):
    submit(aggregator, attempt("a:1"))
    reader = Reader(aggregator, "99-0")
    submit(aggregator, attempt("b:1"))

    found = [reader.next(), reader.next()]
    reader.close()

    assert [(None, "gap"), ("2-0", "attempt_finished")] == [each[:2] for each in found]


def test_an_id_we_never_gave_is_refused(aggregator):
    reader = Reader(aggregator, "x")

    assert 400 == reader.response.status
    reader.close()


def test_readers_have_a_bound(aggregator):
    first = Reader(aggregator)
    second = Reader(aggregator)
    first.close()

    assert (429, "5") == (second.response.status, second.response.getheader("retry-after"))
    second.close()


def test_a_reader_that_leaves_makes_room(aggregator):
    Reader(aggregator).close()
    for _ in range(100):
        reader = Reader(aggregator)
        reader.close()
        if reader.response.status == 200:
            break
        time.sleep(0.05)

    assert 200 == reader.response.status


def test_stopping_ends_streams_and_idle_connections_without_waiting_for_the_grace(monkeypatch):
    monkeypatch.setattr(serve, "_GRACE", 600)
    with running_aggregator(on_any_port()) as running:
        idle = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=300)
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        reader = Reader(running)
        before = time.monotonic()

    assert b"" == reader.response.read()
    assert time.monotonic() - before < 300
    reader.close()
    idle.close()
