"""Acknowledged means stored: a real process, killed and restarted."""

import http.client
import json
import threading
import time

import msgspec

from tests.support.aggregator import aggregator_process
from tests.support.batches import attempt, batch_of, begun, ended

MSGPACK = {"content-type": "application/msgpack"}


def packed(*events, **about):
    return msgspec.msgpack.encode(batch_of(*events, **about))


def test_killed_right_after_the_answer_nothing_acknowledged_is_lost(tmp_path):
    acknowledged = set()
    with aggregator_process(tmp_path / "data", tmp_path / "log") as (daemon, running):

        def submit(number):
            connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=300)
            try:
                for part in range(10_000):
                    name = f"{number}-{part}"
                    connection.request("POST", "/v1/events", packed(attempt(attempt_id=name)), MSGPACK)
                    if connection.getresponse().read() == b'{"accepted":1,"duplicates":0}':
                        acknowledged.add(name)
            except (OSError, http.client.HTTPException):
                pass  # killed
            finally:
                connection.close()

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 200:
            time.sleep(0.01)
        daemon.kill()
        for thread in threads:
            thread.join()

    with aggregator_process(tmp_path / "data", tmp_path / "log") as (_, running):
        found = {result["attempt_id"] for result in json.loads(running.ask("GET", "/metrics").body)}

    assert len(acknowledged) >= 200
    assert acknowledged <= found


def test_a_restart_keeps_status_counters_and_what_is_known(tmp_path):
    body = packed(begun("a:1"), attempt("a:1"), ended("a:1"))
    with aggregator_process(tmp_path / "data", tmp_path / "log") as (daemon, running):
        running.ask("POST", "/v1/events", body, MSGPACK)
        before = json.loads(running.ask("GET", "/v1/status").body)
        daemon.stop()

    with aggregator_process(tmp_path / "data", tmp_path / "log") as (_, running):
        assert before == json.loads(running.ask("GET", "/v1/status").body)
        assert {"accepted": 0, "duplicates": 3} == json.loads(running.ask("POST", "/v1/events", body, MSGPACK).body)
        text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body
        assert b'nodeprefetch_attempts_total{error_class="",outcome="succeeded"} 1.0' in text


def test_a_signal_ends_it_in_order(tmp_path):
    with aggregator_process(tmp_path / "data", tmp_path / "log") as (daemon, running):
        connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=300)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        daemon.stop()
        connection.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
