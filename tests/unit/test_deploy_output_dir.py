"""`--output-dir` keeps files of others, leaves none of its own behind, and is whole at any time."""

from pathlib import Path

import pytest

from deploy_gen.__main__ import main
from deploy_gen.kustomization import listed_files, render_directory
from deploy_gen.overlay import namespace_transformers
from tests.golden.regenerate import COMMANDS, objects, options

NAMES = ("kustomization.yaml", "namespace/kustomization.yaml", "namespace/transformers.yaml")
"""Of every installation."""


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Runs the program for `base`; its code and what it reported."""
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments, name="web"):
        code = main([name, *arguments, "--output-dir=base"])
        captured = capsys.readouterr()
        assert "" == captured.out
        return code, captured.err

    return run_it


def contents(directory="base"):
    return {
        str(file.relative_to(directory)): file.read_text(encoding="utf-8")
        for file in Path(directory).rglob("*")
        if not file.is_dir()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_each_object_has_a_file_named_after_it(name):
    files = render_directory(options(name), COMMANDS[name])

    named = [f"{each['kind'].lower()}-{each['metadata']['name']}.yaml" for each in objects(name)]
    assert {*named, *NAMES} == set(files)
    assert len(named) + len(NAMES) == len(files)
    assert "kustomization.yaml" == list(files)[-1]


def test_the_list_has_the_command_and_is_in_the_order_of_creation():
    text = render_directory(options("metrics"), COMMANDS["metrics"])["kustomization.yaml"]

    mark, command, *rest = text.splitlines()
    assert mark.startswith("# Written by nodeprefetch-deploy for web. ")
    assert "# nodeprefetch-deploy web --version=v1.2.3 --namespace=prefetch --collect-metrics" == command
    listed = [line.removeprefix("- ") for line in rest if line.startswith("- ")]
    assert [f"{each['kind'].lower()}-{each['metadata']['name']}.yaml" for each in objects("metrics")] == listed


def test_texts_of_users_are_not_taken_for_the_namespace():
    found = options("secrets", "--fetch-arg=--credential-option=example.note=<namespace>", "--namespace=web")

    (*_, replaced) = namespace_transformers(found)

    kinds = {target["select"]["kind"] for target in replaced["replacements"][0]["targets"]}
    assert {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} == kinds


def test_only_the_list_depends_on_flags_that_an_object_does_not(run):
    run()
    before = contents()

    code, said = run("--priority-class=high")

    changed = {path for path, text in contents().items() if before[path] != text}
    assert {"daemonset-web.yaml", "kustomization.yaml"} == changed
    assert (0, "nodeprefetch-deploy: base: 2 of 9 files written\n") == (code, said)


def test_the_same_again_writes_nothing(run):
    first = run()
    before = {path: Path("base", path).stat().st_ino for path in contents()}

    again = run()

    assert (0, "nodeprefetch-deploy: base: 9 of 9 files written\n") == first
    assert (0, "nodeprefetch-deploy: base: 0 of 9 files written\n") == again
    assert before == {path: Path("base", path).stat().st_ino for path in contents()}


def test_what_is_no_longer_generated_is_deleted_and_files_of_others_stay(run):
    run("--network-policy")
    Path("base/README.md").write_text("ours")
    Path("base/copy.yaml").write_text(Path("base/networkpolicy-web.yaml").read_text())

    code, said = run()

    assert 0 == code
    assert (
        "nodeprefetch-deploy: base/networkpolicy-web.yaml: deleted, as it is no longer generated (kubectl apply does"
        " not delete its object)\n"
    ) in said
    assert {"README.md", "copy.yaml"} < set(contents())
    assert "networkpolicy-web.yaml" not in contents()
    assert "networkpolicy" not in contents()["kustomization.yaml"]


def edit(path, text):
    Path(path).write_text(text + Path(path).read_text() if text.startswith("#") else Path(path).read_text() + text)


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (
            lambda: Path("base/daemonset-web.yaml").write_text("a: b\n"),
            "base/daemonset-web.yaml: was not written by nodeprefetch-deploy (move it away, or use another directory)",
        ),
        (
            lambda: Path("base/kustomization.yaml").write_text("resources: [mine.yaml]\n"),
            "base/kustomization.yaml: was not written by nodeprefetch-deploy",
        ),
        (
            lambda: edit("base/kustomization.yaml", "patches: []\n"),
            "base/kustomization.yaml: was edited (make changes in an overlay, and delete this file)",
        ),
        (
            lambda: (edit("base/kustomization.yaml", "- mine.yaml\n"), Path("base/mine.yaml").write_text("a: b\n")),
            "base/kustomization.yaml: lists mine.yaml, which was not written by nodeprefetch-deploy",
        ),
        (
            lambda: edit("base/kustomization.yaml", "- ../mine.yaml\n"),
            "base/kustomization.yaml: was edited",
        ),
        (
            lambda: (Path("base/daemonset-web.yaml").unlink(), Path("base/daemonset-web.yaml").symlink_to("/dev/null")),
            "base/daemonset-web.yaml: was not written by nodeprefetch-deploy",
        ),
        (
            lambda: (Path("base/daemonset-web.yaml").unlink(), Path("base/daemonset-web.yaml").mkdir()),
            "base/daemonset-web.yaml: was not written by nodeprefetch-deploy",
        ),
    ],
)
def test_files_of_others_are_in_the_way(run, prepare, problem):
    run("--network-policy")
    prepare()
    before = contents()

    code, said = run("--collect-metrics")

    assert 2 == code
    assert f"nodeprefetch-deploy: --output-dir: {problem}" in said
    assert "no manifests generated" in said
    assert before == contents()


def test_an_installation_does_not_replace_another(run):
    run()
    before = contents()

    code, said = run(name="other")

    assert 2 == code
    assert (
        "--output-dir: base/kustomization.yaml: belongs to the installation web (use another directory, or delete this"
        " one)\n"
    ) in said
    assert before == contents()


def test_without_its_list_a_directory_is_written_again(run):
    run()
    before = contents()
    Path("base/kustomization.yaml").unlink()

    code, _ = run()

    assert (0, before) == (code, contents())


def test_a_file_is_not_a_directory(run):
    Path("base").write_text("")

    code, said = run("--max-unavailable=x")

    assert 2 == code
    assert "--output-dir: base is not a directory\n" in said
    assert "--max-unavailable" in said  # with all other problems


@pytest.mark.parametrize("output", ["json", "JSON"])
def test_json_is_not_for_kustomize(run, output):
    code, said = run(f"--output={output}")

    assert (2, True) == (code, "--output-dir: cannot be combined with --output json" in said)
    assert not Path("base").exists()


@pytest.mark.parametrize("failing", range(8))
def test_a_failure_half_way_leaves_the_earlier_state(run, monkeypatch, failing):
    """Whichever file it is: all are complete before the first replaces another."""
    run("--network-policy")
    before = contents()
    opened = Path.open
    left = iter(range(100))

    def fail(self, mode="r", *arguments, **named):
        if "x" in mode and next(left) == failing:
            raise OSError(28, "No space left on device", str(self))
        return opened(self, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", fail)
    code, said = run("--namespace=other")
    monkeypatch.setattr(Path, "open", opened)

    assert 1 == code
    assert "nodeprefetch-deploy: cannot write to base/" in said
    assert "No space left on device" in said
    assert before == contents()


@pytest.mark.parametrize("failing", range(8))
def test_the_list_never_names_a_file_that_is_not_there(run, monkeypatch, failing):
    """Even if files cannot be replaced, and without a second run."""
    run("--network-policy")
    replace = Path.replace
    left = iter(range(100))

    def fail(self, target):
        if next(left) == failing:
            raise PermissionError(13, "Permission denied", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    code, _ = run("--namespace=other")

    assert 1 == code
    found = contents()
    assert set(listed_files(found["kustomization.yaml"])) <= set(found)
    assert not [path for path in found if Path(path).name.startswith(".")]
