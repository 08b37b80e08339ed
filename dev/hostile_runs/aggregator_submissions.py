"""Submissions: rejected ones, empty ones, nonsense, bombs, duplicates, and more names than the limit."""

import gzip
import json
import threading
import time
from collections.abc import Sequence

import msgspec

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import LINES, MSGPACK, batch, fill, get, lines, packed, post, results
from nodeprefetch.batch import Batch
from tests.support.aggregator_program import AggregatorProgram

OK, TOO_MANY = 200, 429
SERVER_ERROR = 500


def _to_the_bounds(program: AggregatorProgram) -> None:
    """Return 10,000 images (the limit) and 100 instances."""
    for number in range(10):
        post(program, packed(results(1000, prefix=f"b{number}", images=1000), instance=f"i{number}"))
    for number in range(9):
        events = [
            msgspec.structs.replace(each, image=f"x{number}-{n}:1")
            for n, each in enumerate(results(1000, prefix=f"c{number}"))
        ]
        post(program, packed(events))
    for number in range(100):
        post(program, packed(results(1, prefix=f"d{number}"), instance=f"instance-{number}"))


@attack("submissions", "1,000 batches beyond the limit of instances in one request of some KB, at all limits")
def refused_batches(run: Run) -> None:
    """Rejected within seconds."""
    with run.aggregator() as program:
        _to_the_bounds(program)
        beyond = [batch(results(1, prefix=f"e{n}"), instance=f"beyond-{n}") for n in range(1000)]
        body, headers = lines(beyond, compressed=True)
        began = time.monotonic()
        status, _ = post(program, body, headers, patience=60)
        taken = time.monotonic() - began
        run.count = len(beyond)
        run.expect(status in (400, 413, TOO_MANY), f"answered {status}")
        run.expect(taken < 10, f"the response took {taken:.0f} s")


@attack("submissions", "60,000 empty batches of new instances in one request")
def refused_lines(run: Run) -> None:
    """On a fresh aggregator with one instance too many."""
    with run.aggregator() as program:
        for number in range(100):
            post(program, packed(results(1, prefix=f"d{number}"), instance=f"instance-{number}"))
        body, headers = lines(
            [Batch(run_id="r", node="n", version="1", instance=f"x{n}", events=()) for n in range(60_000)],
            compressed=True,
        )
        status, _ = post(program, body, headers, patience=60)
        run.count = 60_000
        run.expect(status in (OK, 400, 413, TOO_MANY), f"answered {status}")


@attack("submissions", "5 requests of 80,000 batches without events, each of another run")
def runs_without_end(run: Run) -> None:
    """An empty batch takes no row, or there is a limit."""
    with run.aggregator() as program:
        for turn in range(5):
            empty = [Batch(run_id=f"{turn}-{n}", node="n", version="1", instance="", events=()) for n in range(80_000)]
            body, headers = lines(empty, compressed=True)
            post(program, body, headers, patience=60)
            run.count += len(empty)
        size = sum(file.stat().st_size for file in program.data_dir.rglob("results.sqlite3*")) >> 20
        run.expect(size <= 10, f"the database has {size} MiB")


@attack("submissions", "100,000 runs with one event each")
def runs_with_an_event(run: Run) -> None:
    """Limited, with 429 beyond."""
    with run.aggregator() as program:
        for turn in range(50):
            each = [batch(results(1, prefix=f"{turn}-{n}"), run_id=f"{turn}-{n}") for n in range(2000)]
            body, headers = lines(each, compressed=True)
            post(program, body, headers)
            run.count += len(each)


@attack("submissions", "bodies that are odd, truncated, deeply nested, huge or not a batch")
def odd_bodies(run: Run) -> None:
    """Rejected or stored, never a server error."""
    with run.aggregator(keeps=False) as program:
        for body, headers in [*_odd_json(), *_odd_msgpack()]:
            status, said = post(program, body, headers)
            run.count += 1
            run.expect(0 < status < SERVER_ERROR, f"{body[:40]!r} got {status} {said[:60]!r}")
        for path in ("/metrics", "/v1/status"):
            status, _ = get(program, path)
            run.expect(status == OK, f"{path} got {status} afterwards")


def _odd_json() -> Sequence[tuple[bytes, dict[str, str]]]:
    event = {
        "event": "attempt_finished",
        "at": 1,
        "attempt_id": "x",
        "image": "a",
        "attempt": 1,
        "started_at": 1,
        "duration": 1,
        "limit": 1,
    }
    odd: list[dict[str, object]] = [
        {"at": at} for at in (float("nan"), float("inf"), -1, 0, 1e300, 253402300800, 2**63, "now", None, [])
    ]
    odd += [{"duration": value} for value in (-1, 1e300, float("nan"))]
    odd += [{"attempt": value} for value in (-1, 0, 2**63, 2**64, 1.5)]
    odd += [
        {"image": value} for value in ("", "\0", "\u202ea", "\ud800", "a" * 2000, "<script>", '"}\n{"x":"', "a\nb 1")
    ]
    odd += [{"error": value} for value in ("\0", "\x1b[2J", "x" * 20_000, "\ud800")]
    bodies = [{"run_id": "r", "node": "n", "version": "1", "events": [event | each]} for each in odd]
    found = [json.dumps(each).encode() for each in bodies]
    found += [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"run_id": "r", "run_id": "s"}',
        b"9" * 100_000,
    ]
    return [(each, LINES) for each in found]


def _odd_msgpack() -> Sequence[tuple[bytes, dict[str, str]]]:
    found = [
        b"",
        b"\xc1",
        b"\xdb\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xc7\xff\x01" + bytes(255),
        b"\xc6\xff\xff\xff\xff",
    ]
    return [
        (each, MSGPACK)
        for each in [*found, packed(results(10_001)), packed(results(10))[:-5], packed(results(1)) + b"x"]
    ]


@attack("submissions", "gzip: bombs of 1 GiB, bombs in members, truncated, doubled; other encodings")
def bombs(run: Run) -> None:
    """Decompressed up to the limit and no further."""
    bomb = gzip.compress(bytes(256 << 20), 9)
    small = gzip.compress(bytes(1 << 20), 9)
    with run.aggregator(keeps=False) as program:
        for body, encoding in (
            (bomb * 4, "gzip"),
            (gzip.compress(bomb), "gzip"),
            (small * 100, "gzip"),
            (bomb[:1000], "gzip"),
            (b"no gzip", "gzip"),
            (small, "zstd"),
            (small, "br"),
            (small, "gzip, gzip"),
        ):
            status, _ = post(program, body, {**MSGPACK, "Content-Encoding": encoding})
            run.count += 1
            run.expect(400 <= status < SERVER_ERROR, f"a bomb got {status}")


@attack("submissions", "12,000 nonexistent images")
def distinct_images(run: Run) -> None:
    """Images are stored up to the limit; requests beyond it are rejected as a whole."""
    with run.aggregator() as program:
        answers = []
        for number in range(24):
            events = [
                msgspec.structs.replace(each, image=f"x{number}-{n}:1")
                for n, each in enumerate(results(500, prefix=f"{number}"))
            ]
            answers.append(post(program, packed(events))[0])
            run.count += len(events)
        run.expect(answers == [OK] * 20 + [TOO_MANY] * 4, f"answered {answers}")


@attack("submissions", "the same 40 bodies from 8 clients at once")
def repeats(run: Run) -> None:
    """Each result is stored once."""
    bodies = [packed(results(50, prefix=f"r{number}"), run_id=f"r{number}") for number in range(40)]
    with run.aggregator() as program:
        accepted: list[int] = []

        def client() -> None:
            for body in bodies:
                status, said = post(program, body)
                accepted.append(json.loads(said)["accepted"] if status == OK else -(10**6))

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.count = len(accepted)
        kept = [result["attempt_id"] for result in program.results()]
        run.expect(
            sum(accepted) == len(kept) == len(set(kept)) == 40 * 50, f"{sum(accepted)} accepted, {len(kept)} kept"
        )


@attack("submissions", "500,000 states, then normal results during scrapes and queries")
def many_states(run: Run) -> None:
    """No scrape delays anything."""
    with run.aggregator() as program:
        for node in range(1000):
            events = results(500, prefix=f"s{node}")
            status, said = post(program, packed(events, node=f"node-{node}", run_id=f"run of {node}"))
            if status != OK:
                run.expect(False, f"rejected at node {node}: {status} {said[:100]!r}")
                break
        for turn in range(10):
            fill(program, 1000)
            for path in ("/v1/status?image=registry.test/team/app-1:1", "/v1/status"):
                run.count += 1
                status, _ = get(program, path)
                run.expect(status == OK, f"{path} got {status}")
            answer = program.ask("/metrics", Accept="text/plain;version=0.0.4")
            run.expect(answer.status == OK, f"scrape {turn} got {answer.status}")
