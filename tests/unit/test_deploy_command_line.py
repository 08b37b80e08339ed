"""Command line and exit codes of the generator."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import deploy_gen
from deploy_gen.__main__ import main
from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from deploy_gen.yaml import render

ROOT = Path(deploy_gen.__file__).parent.parent


def kinds(text):
    return [one["kind"] for one in yaml.load_all(text, yaml.CSafeLoader)]


def test_a_name_is_enough(capsys):
    assert 0 == main(["web"])

    out, err = capsys.readouterr()
    assert ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "DaemonSet"] == kinds(out)
    assert not err


@pytest.mark.parametrize(
    "arguments",
    [
        ["web", "--namespace", "foo", "--collect-metrics"],
        ["--namespace", "foo", "--collect-metrics", "web"],
        ["--namespace=foo", "web", "--collect-metrics"],
        ["-namespace=foo", "-collect-metrics", "web"],
        ["-collect-metrics=true", "web", "-namespace", "foo"],
        ["--collect-metrics=false", "--collect-metrics=1", "--namespace=bar", "--namespace=foo", "--", "web"],
    ],
    ids=" ".join,
)
def test_flags_come_in_any_order_and_in_the_spellings_of_go(arguments):
    options = read_options(parse_arguments(arguments))

    assert ("web", "foo", True) == (options.name, options.namespace, options.collect_metrics)


def test_a_switch_can_be_set_to_false():
    assert not read_options(parse_arguments(["web", "-collect-metrics=false"])).collect_metrics


def test_arguments_to_pass_through_may_look_like_flags_of_the_generator():
    options = read_options(
        parse_arguments(["web", "--fetch-arg", "--debug", "--fetch-arg", "--metrics-endpoint", "--fetch-arg=x:1"])
    )

    assert ("--debug", "--metrics-endpoint", "x:1") == options.fetch_args


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_arguments_reach_the_container_unchanged(text):
    """From the command line through YAML to the container, where the kubelet makes `$` of `$$`."""
    given = ["web", "--fetch-arg", f"--credential-option=x.y={text}"]
    options = read_options(parse_arguments(given))
    daemons = list(yaml.load_all(render(build_manifests(options), "yaml", given), yaml.CSafeLoader))[-1]

    (container,) = daemons["spec"]["template"]["spec"]["initContainers"]
    assert f"--credential-option=x.y={text}" == container["args"][-1].replace("$$", "$")


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_list_reaches_the_config_map_unchanged(text):
    text = "# " + text.replace("\n", "\n# ") + "\nnginx\n"
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        options = read_options(parse_arguments(["web", f"--images={file.name}"]))
    documents = list(yaml.load_all(render(build_manifests(options), "yaml", []), yaml.CSafeLoader))

    assert [text] == [each["data"]["images.txt"] for each in documents if each["kind"] == "ConfigMap"]


def test_all_problems_are_reported_at_once(capsys):
    arguments = ["Web", "other", "--bogus", "--namespace=a.b", "-k8s-flavor", "k8s", "--persist=1Gi", "--output=xml"]
    arguments += ["--collect-metrics=maybe", "--max-unavailable=0", "--secret"]

    assert 2 == main(arguments)

    out, err = capsys.readouterr()
    assert not out
    for part in (
        "exactly one NAME",
        "'--bogus'",
        "--namespace: ",
        "--k8s-flavor: ",
        "--persist: ",
        "--output: ",
        "maybe",
        "'0'",
    ):
        assert part in err
    assert "--secret: requires a value" in err
    assert all(line.startswith("nodeprefetch-deploy: ") for line in err.splitlines())


def test_a_name_is_required(capsys):
    assert 2 == main([])
    assert "NAME is required" in capsys.readouterr().err


def test_a_flag_is_not_taken_for_the_value_of_another():
    with pytest.raises(InputError, match="--persist: requires a value") as caught:
        read_options(parse_arguments(["web", "--persist", "--collect-metrics", "--namespace"]))

    assert 2 == len(caught.value.problems)


@pytest.mark.parametrize("flag", ["--help", "-h", "-help"])
def test_help_is_printed_in_all_spellings(flag, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([flag])

    out = capsys.readouterr().out
    assert "--restrict-node-access" in out
    assert "Exit codes" in out


def test_json_is_one_object(capsys):
    assert 0 == main(["web", "--output=JSON"])
    assert "DaemonSet" == json.loads(capsys.readouterr().out)["items"][-1]["kind"]


def test_arguments_are_those_of_the_process_by_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["nodeprefetch-deploy", "web"])

    assert 0 == main()
    assert "# nodeprefetch-deploy web\n" == capsys.readouterr().out.splitlines(keepends=True)[0]


def ended(stdout):
    program = [sys.executable, "-m", "deploy_gen", "web"]
    done = subprocess.run(program, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


def test_a_closed_pipe_ends_without_a_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as stdout:
        assert (141, "") == ended(stdout)


def test_a_full_disk_is_reported():
    with Path("/dev/full").open("w") as stdout:
        assert (1, "nodeprefetch-deploy: cannot write to standard output: No space left on device\n") == ended(stdout)


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (["--collect-metrics", "--expose=LoadBalancer"], "can read results"),
        (["--network-policy", "--host-network"], "do not apply"),
        (["--collect-metrics", "--service-monitor", "--aggregate-arg=--auth-read"], "needs a token"),
        (["--node-readiness-rule"], "closes existing nodes"),
        (["--reader-role", "--collect-metrics", "--network-policy"], "add its addresses to the policy"),
        (["--reader-role", "--collect-metrics", "--aggregate-arg=--auth-read"], "passes on no token"),
    ],
)
def test_what_is_valid_but_surprising_has_a_notice(arguments, note, capsys):
    assert 0 == main(["web", *arguments])
    assert note in capsys.readouterr().err


def test_a_list_too_long_for_apply_has_a_notice(tmp_path, capsys):
    (tmp_path / "list").write_text("nginx\n" * 50_000)

    assert 0 == main(["web", f"--images={tmp_path}/list"])
    assert "--server-side" in capsys.readouterr().err
