"""Attacks on secrets and user names, which must not reach the log, the aggregator or its readers."""

import base64
import json

from hostile_runs.attack import Run, attack
from hostile_runs.fetching import fetch
from tests.support.aggregator_program import AggregatorProgram
from tests.support.cri_server import FakeCriServer, Refusal

FIRST, SECOND = "FIRST-secret-111111", "SECOND-secret-222222"
USER = "ghp_TokenAsUserName123456"


def _auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _refusal(text: str) -> Refusal:
    return Refusal(
        "UNKNOWN",
        'failed to pull and unpack image "r.test/team/app:1": failed to resolve reference "r.test/team/app:1": '
        f"pull access denied, repository does not exist or may require authorization: server message: {text}",
    )


def _database(program: AggregatorProgram) -> bytes:
    return b"".join(file.read_bytes() for file in program.data_dir.rglob("*") if file.is_file())


@attack("secrets", "two logins match; the runtime's text at the second attempt quotes both, plain and in base64")
def other_logins(run: Run) -> None:
    """Neither the log nor the aggregator has one."""
    socket = run.directory / "s.sock"
    config = run.directory / "config.json"
    config.write_text(
        json.dumps(
            {"auths": {"r.test/team/app": {"auth": _auth("one", FIRST)}, "r.test": {"auth": _auth("two", SECOND)}}}
        )
    )
    first = f"one / {FIRST} ({_auth('one', FIRST)})"
    both = f"{first} two {SECOND} ({_auth('two', SECOND)})"
    refusals = [_refusal(first), _refusal(both)]  # a registry cannot know what it was not sent
    with run.aggregator(keeps=True) as program, FakeCriServer(socket, {"r.test/team/app:1": refusals}) as server:
        ended = fetch(
            run,
            f"--cri-socket={socket}",
            f"--docker-config={config}",
            f"--metrics-endpoint={program.endpoint}",
            "--overall-timeout=8s",
            "--debug",
            "r.test/team/app:1",
            patience=30,
        )
        everything = (
            ended.text
            + program.log_text
            + program.ask("/metrics").body.decode()
            + program.ask("/v1/status").body.decode()
        )
        database = _database(program)
        logins = {pull.auth.username for pull in server.pulls if pull.auth}
        run.expect({"one", "two"} <= logins, f"only {sorted(logins)} were tried")
        for secret in (FIRST, SECOND, _auth("one", FIRST), _auth("two", SECOND)):
            run.expect(secret not in everything, f"{secret[:12]}… is in the log or at the aggregator")
            run.expect(secret.encode() not in database, f"{secret[:12]}… is in the database")


@attack("secrets", "a token as user name")
def user_names(run: Run) -> None:
    """No event contains it."""
    socket = run.directory / "s.sock"
    config = run.directory / "config.json"
    config.write_text(json.dumps({"auths": {"r.test": {"auth": _auth(USER, "x-oauth-basic")}}}))
    with run.aggregator(keeps=True) as program, FakeCriServer(socket, otherwise="sha256:1"):
        ended = fetch(
            run,
            f"--cri-socket={socket}",
            f"--docker-config={config}",
            f"--metrics-endpoint={program.endpoint}",
            "--overall-timeout=8s",
            "r.test/a:1",
        )
        database = _database(program)
        told = program.ask("/metrics").body + program.ask("/v1/status").body + database
        run.expect(USER not in ended.text, "it is in the log")
        run.expect(USER.encode() not in told, "it is at the aggregator")
        run.expect(str(config).encode() not in told, "the path of the secret is at the aggregator")
