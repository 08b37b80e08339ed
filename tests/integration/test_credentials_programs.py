"""Credential provider programs, started by the real program: good ones, stale ones, and broken ones."""

import base64
import signal
import time
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.credential_sources import (
    SLOW,
    Programs,
    entry,
    is_gone,
    notices,
    refusals,
    used,
    write_secret,
)
from tests.integration.program import RunFetch, StartFetch, seconds_to_end
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.containerd

RIGHT, WRONG = "r1ght-of-ann", "wr0ng-of-ann"
AT_ONCE = 20.0
"""Seconds that a run may take where nothing is waited for; a good part of it is for a machine that is busy."""

SOURCE_PATIENCE = 3.0
"""Seconds for which a pull secret waits for a plugin that does not answer."""

HANGS = 'sleep 1000 & echo $! >> "$HERE/pids"; echo $$ >> "$HERE/pids"; sleep 1000'


@pytest.fixture
def programs(tmp_path: Path, fake_registry: FakeRegistry) -> Programs:
    return Programs(tmp_path / "programs", fake_registry.address)


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_fifty_images_cost_one_process(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs, scheme: str
) -> None:
    require = fake_registry.require_basic if scheme == "Basic" else fake_registry.require_bearer
    require({"robot": RIGHT})
    image = make_image(seed=f"one process {scheme}")
    names = [fake_registry.add(f"programs/app-{number}:1", image) for number in range(50)]
    programs.add("ecr")
    programs.answer("ecr", "robot", RIGHT)

    ended = run_fetch(containerd, *names, **programs.options, **SLOW)

    assert (0, 50, 0) == (ended.code, ended.summary["succeeded"], refusals(ended))
    assert {f"kubelet/ecr {fake_registry.address}"} == set(used(ended))
    assert 1 == len(programs.starts("ecr"))
    assert {name.removesuffix(":1") for name in names} >= set(programs.asked("ecr"))


def test_nothing_is_asked_for_images_that_are_present(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs
) -> None:
    fake_registry.require_bearer({"robot": RIGHT})
    names = [fake_registry.add(f"present/app-{number}:1", make_image(seed="here already")) for number in range(3)]
    programs.add("ecr")
    programs.answer("ecr", "robot", RIGHT, duration="0s")
    first = run_fetch(containerd, *names, **programs.options)
    started = programs.starts("ecr")
    fake_registry.requests.clear()

    again = run_fetch(containerd, *names, **programs.options)

    assert (0, 0) == (first.code, again.code)
    assert dict.fromkeys(names, "present") == again.outcomes
    assert started == programs.starts("ecr")
    assert 0 < len(started)
    assert () == fake_registry.requests.all()


def test_an_answer_whose_time_is_over_is_asked_for_anew(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, programs: Programs
) -> None:
    """The second image gets its slot when the answer that it waited with has expired, and the registry has changed."""
    users = {"robot": "t0ken-of-then"}
    fake_registry.require_basic(users)
    first, second = (fake_registry.add(f"expired/{n}:1", make_image(seed=f"expired {n}")) for n in (1, 2))
    fake_registry.fail("layer", Fault.stall())
    programs.add("ecr")
    programs.answer("ecr", "robot", "t0ken-of-then", duration="1s")
    fetch = start_fetch(containerd, first, second, max_parallel_pulls=1, **programs.options, **SLOW)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    programs.answer("ecr", "robot", "t0ken-of-now", duration="1s")
    users["robot"] = "t0ken-of-now"
    time.sleep(1.1)  # the answer's own time, which is the other program's clock
    fake_registry.release()

    ended = fetch.end()

    assert (0, 2, 0) == (ended.code, ended.summary["succeeded"], refusals(ended))
    assert 2 == len(programs.starts("ecr"))


def test_a_remembered_answer_that_is_refused_is_asked_for_again_at_once(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, programs: Programs
) -> None:
    """The first attempt is cut by its limit; in the second one the answer, good for 10 minutes, is stale."""
    users = {"robot": "t0ken-of-then"}
    fake_registry.require_basic(users)
    name = fake_registry.add("early/app:1", make_image(seed="expired early"))
    fake_registry.fail("layer", Fault.stall())
    programs.add("ecr")
    programs.answer("ecr", "robot", "t0ken-of-then")
    fetch = start_fetch(containerd, name, initial_pull_attempt_timeout="1s", **programs.options)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    programs.answer("ecr", "robot", "t0ken-of-now")
    users["robot"] = "t0ken-of-now"

    ended = fetch.end()

    assert 0 == ended.code
    assert ["stalled", "unauthorized"] == [line["reason"] for line in ended.lines("attempt failed")]
    assert 1 == len(ended.lines("retrying after delay"))
    assert 2 == len(programs.starts("ecr"))


def test_a_credential_that_went_bad_while_its_image_waited_for_a_slot_is_asked_for_again(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, programs: Programs
) -> None:
    users = {"robot": "t0ken-of-then"}
    fake_registry.require_basic(users)
    first, second = (fake_registry.add(f"waits/{n}:1", make_image(seed=f"waits {n}")) for n in (1, 2))
    fake_registry.fail("layer", Fault.stall())
    programs.add("ecr")
    programs.answer("ecr", "robot", "t0ken-of-then")
    fetch = start_fetch(containerd, first, second, max_parallel_pulls=1, **programs.options, **SLOW)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    programs.answer("ecr", "robot", "t0ken-of-now")
    users["robot"] = "t0ken-of-now"
    time.sleep(1.1)  # what is refused sooner after it was given is taken for wrong, not for expired
    fake_registry.release()

    ended = fetch.end()

    assert (0, 2) == (ended.code, ended.summary["succeeded"])
    assert 2 == len(programs.starts("ecr"))


@pytest.mark.parametrize(
    ("program", "secret", "order", "expected"),
    [
        (RIGHT, WRONG, None, ["kubelet/ecr"]),
        (WRONG, RIGHT, None, ["kubelet/ecr", "docker-config"]),
        (RIGHT, WRONG, "pull-secrets", ["docker-config", "kubelet/ecr"]),
        (WRONG, RIGHT, "pull-secrets,kubelet", ["docker-config"]),
        (WRONG, WRONG, None, ["kubelet/ecr", "docker-config"]),
    ],
)
def test_a_program_and_a_pull_secret_are_used_in_turn(
    *,
    containerd: Containerd,
    fake_registry: FakeRegistry,
    run_fetch: RunFetch,
    programs: Programs,
    tmp_path: Path,
    program: str,
    secret: str,
    order: str | None,
    expected: list[str],
) -> None:
    fake_registry.require_bearer({"robot": RIGHT, "ann": RIGHT})
    name = fake_registry.add("turn/app:1", make_image(seed=f"turn {expected}"))
    programs.add("ecr")
    programs.answer("ecr", "robot", program)
    config = write_secret(tmp_path / "c.json", {fake_registry.address: entry("ann", secret)})

    ended = run_fetch(containerd, name, docker_config=config, credential_order=order, **programs.options, **SLOW)

    assert expected == [text.split(" ")[0] for text in used(ended)]
    assert (1 if program == secret else 0) == ended.code
    assert ended.summary["elapsed"] < AT_ONCE


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("echo 'no metadata server' >&2; exit 1", "exited with status 1", id="exits"),
        pytest.param("kill -SEGV $$", "killed by SIGSEGV", id="crashes"),
        pytest.param("echo '<html>Log in, please</html>'", "invalid response: not JSON", id="garbage"),
        pytest.param("head -c 5000 /dev/urandom", "invalid response: not JSON", id="noise"),
        pytest.param("", "produced no output", id="nothing"),
        pytest.param("head -c 10485760 /dev/zero", "killed after writing more than 1048576 bytes", id="10 MiB"),
        pytest.param("yes", "killed after writing more than 1048576 bytes", id="for ever"),
        pytest.param(
            f"""echo '{{"apiVersion":"v9","kind":"X","auth":{{"password":"{WRONG}"}}}}'""",
            "invalid response: ",
            id="v9",
        ),
    ],
)
def test_a_program_that_fails_costs_only_its_answer(
    *,
    containerd: Containerd,
    fake_registry: FakeRegistry,
    run_fetch: RunFetch,
    programs: Programs,
    tmp_path: Path,
    script: str,
    said: str,
) -> None:
    fake_registry.require_basic({"ann": RIGHT})
    name = fake_registry.add("fails/app:1", make_image(seed=f"fails {said} {script[:9]}"))
    programs.add("ecr", script or "true")
    config = write_secret(tmp_path / "c.json", {fake_registry.address: entry("ann", RIGHT)})

    ended = run_fetch(containerd, name, docker_config=config, **programs.options, **SLOW)

    assert (0, 0) == (ended.code, refusals(ended))
    assert [f"docker-config {config.name} {fake_registry.address}"] == used(ended)
    complaints = [text for text in notices(ended) if text.startswith("credential provider kubelet/ecr: ")]
    assert [True] == [said in text for text in complaints]
    assert ended.summary["elapsed"] < AT_ONCE


def test_what_a_failing_program_says_is_told_without_what_it_knows(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs
) -> None:
    name = fake_registry.add("says/app:1", make_image(seed="says"))
    programs.add("ecr", f"""echo 'no answer from 169.254.169.254: Authorization: Bearer {RIGHT}' >&2; exit 3""")

    ended = run_fetch(containerd, name, **programs.options)

    (told,) = (text for text in notices(ended) if "wrote to stderr" in text)
    assert told.endswith("ecr wrote to stderr: no answer from 169.254.169.254: Authorization: Bearer ***")
    assert RIGHT not in ended.stderr


def test_a_program_that_recovers_is_asked_again(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs
) -> None:
    """A refusal is not the last word while the one who may know better has not answered."""
    fake_registry.require_basic({"robot": RIGHT})
    name = fake_registry.add("recovers/app:1", make_image(seed="recovers"))
    programs.answer("ecr", "robot", RIGHT)
    programs.add("ecr", '[ "$(wc -l < "$HERE/ecr.started")" -gt 1 ] || exit 1; cat "$HERE/ecr.json"')

    ended = run_fetch(containerd, name, **programs.options)

    assert 0 == ended.code
    assert 2 == len(programs.starts("ecr"))


def test_a_program_gets_what_the_configuration_gives_it(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs
) -> None:
    fake_registry.require_basic({"robot": RIGHT})
    name = fake_registry.add("env/app:1", make_image(seed="env"))
    programs.answer("ecr", "robot", RIGHT)
    given = '[ "$AWS_PROFILE $1 $2" = "hybrid get-credentials --v=3" ] || exit 4; cat "$HERE/ecr.json"'
    programs.add("ecr", given, env=[{"name": "AWS_PROFILE", "value": "hybrid"}], args=["get-credentials", "--v=3"])

    ended = run_fetch(containerd, name, **programs.options, **SLOW)

    assert 0 == ended.code, ended.stderr


def test_a_program_that_is_missing_is_named_and_the_others_are_used(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs
) -> None:
    fake_registry.require_basic({"robot": RIGHT})
    name = fake_registry.add("missing/app:1", make_image(seed="missing"))
    programs.configure("gone")
    programs.add("ecr")
    programs.answer("ecr", "robot", RIGHT)

    ended = run_fetch(containerd, name, **programs.options, **SLOW)

    assert 0 == ended.code
    assert [True] == ["gone skipped" in text for text in notices(ended)]


def test_a_program_that_hangs_does_not_hold_up_a_pull_secret_and_is_ended_with_the_run(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs, tmp_path: Path
) -> None:
    fake_registry.require_basic({"ann": RIGHT})
    name = fake_registry.add("hangs/app:1", make_image(seed="hangs"))
    other = fake_registry.add("hangs/other:1", make_image(seed="hangs other"))
    programs.add("ecr", HANGS)
    config = write_secret(tmp_path / "c.json", {fake_registry.address: entry("ann", RIGHT)})
    began = time.monotonic()

    ended = run_fetch(containerd, name, other, docker_config=config, **programs.options, **SLOW)

    seconds = time.monotonic() - began
    pids = programs.numbers("pids")
    assert (0, 2) == (ended.code, len(pids))
    assert SOURCE_PATIENCE <= seconds < SOURCE_PATIENCE + AT_ONCE
    assert [True, True] == [is_gone(pid) for pid in pids]


def test_an_image_that_a_hanging_program_does_not_serve_does_not_wait(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, programs: Programs
) -> None:
    """It is the other image of the run that waits; the end of the run does not wait for the program."""
    open_one = fake_registry.add("unserved/app:1", make_image(seed="unserved"))
    programs.add("ecr", HANGS, match="127.0.0.2")
    fetch = start_fetch(containerd, open_one, "127.0.0.2/waits:1", overall_timeout="2s", **programs.options)
    fetch.wait_for("image succeeded", image=open_one)

    ended = fetch.end()

    assert 1 == ended.code
    assert [True, True] == [is_gone(pid) for pid in programs.numbers("pids")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("script", [HANGS, f"trap '' TERM INT HUP\n{HANGS}"], ids=["plain", "deaf"])
def test_a_signal_ends_a_hanging_program_with_all_that_it_started(
    *,
    containerd: Containerd,
    fake_registry: FakeRegistry,
    start_fetch: StartFetch,
    programs: Programs,
    number: signal.Signals,
    script: str,
) -> None:
    name = fake_registry.add("stopped/app:1", make_image(seed="stopped"))
    programs.add("ecr", script)
    fetch = start_fetch(containerd, name, **programs.options)
    pids = wait_for_numbers(programs, "pids", 2)

    seconds, ended = seconds_to_end(fetch, number)

    assert (128 + number, [True, True]) == (ended.code, [is_gone(pid) for pid in pids])
    assert seconds < AT_ONCE


def wait_for_numbers(programs: Programs, file: str, count: int) -> list[int]:
    end = time.monotonic() + PATIENCE
    while len(found := programs.numbers(file)) < count:
        assert time.monotonic() < end, f"there are not {count} in {file}, but {found}"
        time.sleep(0.01)
    return found


def test_a_password_with_everything_in_it_arrives(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, programs: Programs
) -> None:
    password = "a:b\\\"'$(`é\u2028 %20+/=" + base64.b64encode(b"\xff\xfe").decode()
    fake_registry.require_basic({"robot": password})
    name = fake_registry.add("odd/app:1", make_image(seed="odd password"))
    programs.add("ecr")
    programs.answer("ecr", "robot", password)

    ended = run_fetch(containerd, name, **programs.options, **SLOW)

    assert 0 == ended.code
