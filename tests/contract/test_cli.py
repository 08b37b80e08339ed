"""The command line, from argv to exit code, against the fake CRI server."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from nodeprefetch import __version__
from nodeprefetch.cli.commands import app, run
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.testing import HANG
from tests.support.cri_server import FakeCriServer, Refusal

IMAGE = "sha256:" + "1" * 64
HELD = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/held:1",), size=5)


@pytest.fixture
def server(short_path):
    with FakeCriServer(
        short_path / "cri.sock",
        {"good:1": [IMAGE], "bad:1": [Refusal("UNKNOWN", "invalid reference format")], "slow:1": [HANG]},
        images=[HELD],
    ) as running:
        yield running


def fetch(server, *arguments):
    return run(["fetch", "--cri-socket", str(server.socket), "--log-format", "json", *arguments])


def log(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_image_present_is_0(server):
    assert 0 == fetch(server, "good:1", "held:1")


def test_an_error_that_nobody_recognizes_is_shown_once_for_each_kind(short_path, capsys):
    outcomes = {f"odd:{number}": [Refusal("UNKNOWN", f"{number} gremlins"), IMAGE] for number in (1, 2)}
    with FakeCriServer(short_path / "cri.sock", outcomes) as server:
        fetch(server, "--initial-pull-attempt-delay=1ms", *outcomes)

    lines = log(capsys)
    assert 2 == [line.get("reason") for line in lines].count("unknown")
    (notice,) = [line["msg"] for line in lines if "please report it" in line["msg"]]
    assert notice.endswith(": <number> gremlins")


def test_an_image_that_is_missing_is_1(server):
    assert 1 == fetch(server, "good:1", "never-heard-of:1")


def test_with_allow_failures_it_is_0(server):
    assert 0 == fetch(server, "--allow-failures", "never-heard-of:1")


def test_the_overall_timeout_is_1(server, capsys):
    assert 1 == fetch(server, "--overall-timeout", "300ms", "slow:1")
    assert "run timed-out" == log(capsys)[-1]["msg"]


def test_invalid_input_is_2_and_reported_at_once_without_a_runtime(tmp_path, capsys):
    (tmp_path / "list").write_text("BAD\n")
    (tmp_path / "secret").write_text("no json")

    code = run(
        [
            "fetch",
            "--cri-socket=/nowhere",
            "--overall-timeout=soon",
            f"--image-list-file={tmp_path}/list",
            f"--docker-config={tmp_path}/secret",
        ]
    )

    said = capsys.readouterr().err.splitlines()
    assert 2 == code
    assert [True] * 3 == [line.startswith("nodeprefetch: ") for line in said]
    assert "--overall-timeout" in said[0]
    assert f"{tmp_path}/list:1" in said[1]
    assert f"{tmp_path}/secret" in said[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["fetch", "--no-such-flag", "a:1"],
        ["fetch", "--max-parallel-pulls", "many", "a:1"],
        ["fetch", "--pull-policy", "Sometimes", "a:1"],
        ["fetch", "--log-format", "xml", "a:1"],
        ["no-such-command"],
        ["explain", "--output", "xml", "a:1"],
        ["explain", "BAD"],
        ["explain"],
        ["fetch"],
    ],
)
def test_wrong_usage_is_2_with_a_line_that_says_what(arguments, capsys):
    assert 2 == run(arguments)
    assert capsys.readouterr().err.startswith("nodeprefetch: ")


def test_no_runtime_is_3(capsys):
    assert 3 == run(["fetch", "--cri-socket", "/nowhere/x.sock", "--runtime-wait", "0", "a:1"])
    said = capsys.readouterr().err.splitlines()
    assert "nodeprefetch: no container runtime answered: /nowhere/x.sock: does not exist" == said[-1]


def test_flags_are_also_read_from_the_environment(server, capsys, monkeypatch):
    monkeypatch.setenv("NODEPREFETCH_CRI_SOCKET", f"unix://{server.socket}")
    monkeypatch.setenv("NODEPREFETCH_LOG_FORMAT", "json")
    monkeypatch.setenv("NODEPREFETCH_ALLOW_FAILURES", "true")
    monkeypatch.setenv("NODEPREFETCH_IMAGES", "good:1 bad:1")

    assert 0 == run(["fetch"])
    end = log(capsys)[-1]
    assert (1, 1) == (end["succeeded"], end["failed"])


def test_lists_are_read_from_the_environment_too(server, tmp_path, monkeypatch):
    (tmp_path / "one").write_text("good:1\n")
    (tmp_path / "two").write_text("held:1\n")
    monkeypatch.setenv("NODEPREFETCH_IMAGE_LIST_FILE", f"{tmp_path}/one {tmp_path}/two")

    assert 0 == fetch(server)
    assert ["good:1"] == [pull.image for pull in server.pulls]


def test_the_runtime_gets_the_user_name_and_password_of_the_secret_and_the_log_does_not(server, tmp_path, capsys):
    secret = {"auths": {"docker.io": {"username": "me", "password": "hunter2-secret"}, "bad key": {"auth": "%%%"}}}
    (tmp_path / "secret").write_text(json.dumps(secret))

    assert 0 == fetch(server, f"--docker-config={tmp_path}/secret", "--debug", "good:1")

    auth = server.pulls[0].auth
    said = capsys.readouterr().err
    assert ("me", "hunter2-secret") == (auth.username, auth.password)
    assert "hunter2-secret" not in said
    assert "bad key" in said


def test_explain_shows_what_fetch_would_do(server, tmp_path, capsys):
    (tmp_path / "secret").write_text(json.dumps({"auths": {"quay.io": {"username": "me", "password": "hunter2"}}}))
    flags = ["--cri-socket", str(server.socket), "--docker-config", f"{tmp_path}/secret", "--output", "json"]

    assert 0 == run(["explain", *flags, "held:1", "quay.io/a"])

    said = capsys.readouterr().out
    held, other = json.loads(said)
    assert {
        "image": "held:1",
        "normalized": "docker.io/library/held:1",
        "registry": "docker.io",
        "pull_policy": "IfNotPresent",
        "problem": "",
        "present": True,
        "credentials": [],
        "providers": [],
    } == held
    assert ("quay.io/a:latest", "quay.io", "Always", False) == tuple(
        other[key] for key in ("normalized", "registry", "pull_policy", "present")
    )
    assert [("quay.io", "me")] == [(one["key"], one["username"]) for one in other["credentials"]]
    assert "hunter2" not in said
    assert () == server.pulls


def test_explain_without_a_runtime_leaves_presence_open(capsys):
    assert 0 == run(["explain", "--cri-socket", "/nowhere/x.sock", "--output", "json", "a:1"])
    assert [None] == [one["present"] for one in json.loads(capsys.readouterr().out)]


def test_explain_prints_a_table_for_people(server, capsys):
    assert 0 == run(["explain", "--cri-socket", str(server.socket), "--pull-policy", "Always", "held:1", "a"])

    assert [
        "IMAGE   PULLED AS                   POLICY  PRESENT  CREDENTIALS",
        "held:1  docker.io/library/held:1    Always  yes      anonymous",
        "a       docker.io/library/a:latest  Always  no       anonymous",
    ] == capsys.readouterr().out.splitlines()


def test_a_malformed_entry_of_a_secret_is_named_by_explain(tmp_path, capsys):
    (tmp_path / "secret").write_text(json.dumps({"auths": {"quay.io": {"auth": "%%%"}}}))

    assert 0 == run(["explain", "--cri-socket=/nowhere/x.sock", f"--docker-config={tmp_path}/secret", "a:1"])
    assert "quay.io" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell, capsys):
    assert 0 == run(["completion", shell])
    assert "nodeprefetch" in capsys.readouterr().out


def test_help_is_0_and_names_the_commands(capsys):
    assert 0 == run([])
    assert {"fetch", "explain", "sleep", "completion"} <= set(capsys.readouterr().out.split())


def test_every_flag_says_its_environment_variable(capsys):
    run(["fetch", "--help"])

    text = "".join(capsys.readouterr().out.split()).replace("│", "")
    for flag in ("CRI_SOCKET", "IMAGE_LIST_FILE", "DOCKER_CONFIG", "RUNTIME_WAIT", "ALLOW_FAILURES", "DEBUG"):
        assert f"NODEPREFETCH_{flag}" in text


def test_the_version_is_that_of_the_package(capfd):
    subprocess.run([sys.executable, "-m", "nodeprefetch", "--version"], check=True)

    assert f"{__version__}\n" == capfd.readouterr().out


def test_on_a_terminal_a_table_is_shown(server):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nodeprefetch", "fetch", "--cri-socket", str(server.socket), "good:1", "held:1"]
    with subprocess.Popen(command, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the other end of a terminal is gone
            pass
        assert 0 == process.wait()
    os.close(ours)

    assert b"1 succeeded, 1 present" in shown
    assert b"level=INFO" not in shown


def test_help_of_fetch_has_groups_images_first(capsys):
    run(["fetch", "--help"])

    groups = re.findall(r"^╭─ (.+?) ─+╮$", capsys.readouterr().out, re.MULTILINE)
    assert [
        "Images",
        "Timeouts and retries",
        "Credentials",
        "Runtime",
        "Disk",
        "Across nodes",
        "New nodes",
        "Reporting",
        "Output",
    ] == groups


@pytest.mark.parametrize("command", ["leases", "unpin"])
def test_no_variable_makes_a_command_destructive(command, capsys, monkeypatch):
    monkeypatch.setenv("NODEPREFETCH_DELETE", "true")
    monkeypatch.setenv("NODEPREFETCH_ALL", "true")
    monkeypatch.setenv("NODEPREFETCH_INSTANCE", "one")

    _, bound, _ = app.parse_args([command], exit_on_error=False, print_error=False)
    run([command, "--help"])

    flags = bound.arguments["flags"]
    shown = "".join(capsys.readouterr().out.split())
    assert (False, False, "one") == (flags.all, getattr(flags, "delete", False), flags.instance)
    assert "NODEPREFETCH_INSTANCE" in shown
    assert "NODEPREFETCH_ALL" not in shown
    assert "NODEPREFETCH_DELETE" not in shown
