"""Attacks with tokens: floods of unknown ones, odd reviews, an unavailable API server, invalid files."""

import json
import os
import subprocess
import sys
import threading
import time

from hostile_runs.aggregator_forging import authorized, guarded, token_of
from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import MSGPACK, packed, post, results
from tests.support.fake_kube import CLOSE, STALL, Failure

OK, NO_REVIEW = 200, 503
WRONG_USAGE = 2


@attack("tokens", "30 connections send unknown tokens for 10 s; their reviews hang")
def unknown_tokens(run: Run) -> None:
    """A known token does not wait for them, and the API server gets few requests."""
    with guarded(run, "node-a") as (program, kube):
        post(program, packed(results(1)), authorized("node-a") | {"Authorization": f"Bearer {token_of('node-a')}"})
        kube.fail(*[Failure(how=STALL, method="POST")] * 10_000)
        asked = len(kube.requests)
        stopping = threading.Event()

        def strike(worker: int) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                post(program, b"x", authorized(f"unknown-{worker}-{number}"))
                run.count += 1

        for worker in range(30):
            threading.Thread(target=strike, args=(worker,), daemon=True).start()
        longest = 0.0
        for number in range(10):
            began = time.monotonic()
            status, _ = post(program, packed(results(1, prefix=f"n{number}"), node="node-a"), authorized("node-a"))
            longest = max(longest, time.monotonic() - began)
            run.expect(status == OK, f"a known token got {status}")
            time.sleep(1)
        stopping.set()
        questions = len(kube.requests) - asked
        run.expect(longest < 2, f"a known token waited {longest:.1f} s")
        run.expect(questions <= 200, f"the API server got {questions} reviews")
        kube.failures.clear()


@attack("tokens", "token reviews with odd types, deep nesting, 50 MB, compression, no JSON, redirects")
def odd_reviews(run: Run) -> None:
    """503 no_review, never another server error."""
    deep = b'{"status": ' * 100_000
    bodies = [
        b"", b"[]", b"null", b"1", b'"x"', b"{}", b'{"status": 5}', b'{"status": {"authenticated": "yes"}}', deep,
        b'{"status": {"authenticated": true, "audiences": 5}}', b'{"status": {"authenticated": true, "user": [1]}}',
        b'{"status": {"authenticated": true, "user": {"extra": {"authentication.kubernetes.io/node-name": {"a": 1}}}}}',
        b'{"status": {"authenticated": true, "user": {"extra": {"authentication.kubernetes.io/node-name": [[]]}}}}',
        b'{"status": {}, "x": "' + bytes(50 << 20) + b'"}', b"\xff\xfe", b"\x1f\x8b\x08",
    ]  # fmt: skip
    failures = [Failure(status=201, body=body) for body in bodies]
    failures += [Failure(status=status, body=b'{"message": ' * 50_000) for status in (400, 401, 403, 429, 500, 503)]
    failures += [Failure(status=302, headers={"Location": "/x"}), Failure(how=CLOSE)]
    with guarded(run) as (program, kube):
        for number, failure in enumerate(failures):
            kube.fail(failure)
            status, said = post(program, b"x", authorized(f"odd-{number}"))
            run.count += 1
            answer = (status, json.loads(said).get("reason") if status else "")
            run.expect(answer == (NO_REVIEW, "no_review"), f"{(failure.body or b'')[:40]!r} got {answer}")


@attack("tokens", "the API server is lost for a while and comes back, five times")
def lost_api_server(run: Run) -> None:
    """It recovers by itself, and the log has loss and recovery once each time."""
    with guarded(run, *[f"node-{number}" for number in range(50)]) as (program, kube):
        for turn in range(5):
            kube.fail(*[Failure(how=CLOSE)] * 5)
            for number in range(6):
                node = f"node-{turn * 10 + number}"
                status, _ = post(program, packed(results(1), node=node), authorized(node))
                run.expect(status == (OK if number == 5 else NO_REVIEW), f"answered {status}")
                run.count += 1
        log = program.log_text
        said = (log.count("the API server cannot review tokens"), log.count("the API server reviews tokens again"))
        run.expect(said == (5, 5), f"the log has {said} losses and recoveries")


@attack("tokens", "a token file becomes a FIFO, a link to itself, a directory, empty, huge, and comes back")
def odd_token_files(run: Run) -> None:
    """The last valid token stays valid throughout."""
    path = run.directory / "token"
    path.write_text("first")
    with run.aggregator("--auth=token-file", f"--auth-token-file={path}", keeps=False) as program:
        for make in (
            os.mkfifo,
            lambda each: each.symlink_to(each),
            os.mkdir,
            lambda each: each.touch(),
            lambda each: each.write_bytes(bytes(10 << 20)),
        ):
            path.rmdir() if path.is_dir() else path.unlink()
            make(path)
            status, _ = post(program, packed(results(1)), {**MSGPACK, "Authorization": "Bearer first"}, patience=5)
            run.expect(status == OK, f"the previous token got {status}")
            status, _ = post(program, b"", {**MSGPACK, "Authorization": "Bearer "}, patience=5)
            run.expect(status == 401, f"no token got {status}")
            run.count += 1
        path.unlink()
        path.write_text("second")
        status, _ = post(program, packed(results(1)), {**MSGPACK, "Authorization": "Bearer second"}, patience=5)
        run.expect(status == OK, f"the new token got {status}")


@attack("tokens", "settings that protect nothing or whose files would block")
def wrong_settings(run: Run) -> None:
    """Usage errors, at once."""
    fifo = run.directory / "fifo"
    os.mkfifo(fifo)
    for flags in (
        ["--auth-read"],
        ["--auth=token-file", f"--auth-token-file={fifo}"],
        [f"--tls-cert-file={fifo}", f"--tls-key-file={fifo}"],
        ["--auth=kubernetes", f"--kubeconfig={fifo}"],
        ["--auth=kubernetes", "--kubeconfig=/dev/zero"],
    ):
        command = [
            sys.executable,
            "-m",
            "nodeprefetch",
            "aggregate",
            "--bind=127.0.0.1",
            "--http-port=0",
            "--grpc-port=0",
            *flags,
        ]
        run.count += 1
        try:
            ended = subprocess.run(command, capture_output=True, timeout=15, check=False)
        except subprocess.TimeoutExpired:
            run.expect(False, f"{flags} blocks or is accepted")
            continue
        run.expect(ended.returncode == WRONG_USAGE, f"{flags} exited with {ended.returncode}")
        run.expect(b"Traceback" not in ended.stderr, f"{flags}: a traceback")
