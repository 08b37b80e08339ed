"""Attacks on the manifest generator: values that would be YAML, shell or other objects if not quoted."""

import subprocess
import sys

import yaml

from hostile_runs.attack import Run, attack

NASTY = (
    "a\nkind: ClusterRoleBinding", "a: b", "- a", "{a: b}", "[a]", "&a", "*a", "!!python/object:os.system",
    "|", ">", "'", '"', "\\", "#", "%", "@", "`id`", "$(id)", "${X}", "$(NODE_NAME)", "null", "~", "yes", "0o7",
    "1e3", "1:20", "\t", "\x1b[2J", "\u202e", "\u2028", "a\rb", "---", "...", "<<: x", "a #b", " a", "a ",
    "../..", "/", ".", "..", "a" * 300, "A_B", "-a", "é",
)  # fmt: skip
FLAGS = ("--namespace", "--image", "--fetch-arg", "--secret", "--node-selector", "--toleration", "--cri-socket")


@attack("generator", f"{len(NASTY)} invalid values in {len(FLAGS)} flags; the output is parsed and compared")
def nasty_values(run: Run) -> None:
    """Rejected, or the same kinds of objects with the same privileges."""
    plain = _kinds(_generated([]).stdout)
    for flag in FLAGS:
        for value in NASTY:
            ended = _generated([f"{flag}={value}"])
            run.count += 1
            run.expect(b"Traceback" not in ended.stderr, f"{flag}={value!r}: a traceback")
            if ended.returncode == 0:
                run.expect(_kinds(ended.stdout) == plain, f"{flag}={value!r}: other objects")


def _generated(flags: list[str]) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "deploy_gen", "web", *flags]
    return subprocess.run(command, capture_output=True, timeout=20, check=False)


def _kinds(text: bytes) -> list[tuple[str, str]]:
    documents = [each for each in yaml.safe_load_all(text) if each]
    return [(each["kind"], str(_privileges(each))) for each in documents]


def _privileges(found: object) -> list[object]:
    """Return everything about security, host paths and permissions, without names."""
    if isinstance(found, dict):
        ours = [found[key] for key in ("securityContext", "rules", "privileged") if key in found]
        return [*ours, *(part for value in found.values() for part in _privileges(value))]
    if isinstance(found, list):
        return [part for value in found for part in _privileges(value)]
    return []
