"""Kustomize reads what `--output-dir` writes: as it is, and in overlays that set another namespace."""

import json
import re

import pytest

from deploy_gen.kustomization import render_directory
from tests.golden.regenerate import COMMANDS, objects, options
from tests.support.kustomize import build, write

NAMESPACE = "team-a"
LOOPBACK = r"127\.[0-9]+\.[0-9]+\.[0-9]+"
OVERLAY = f"""\
resources: [../base]
namespace: {NAMESPACE}
transformers: [../base/namespace]
"""


def base(directory, name, *more):
    return write(directory / "base", render_directory(options(name, *more), COMMANDS[name]))


def overlay(directory, text):
    return write(directory / "overlay", {"kustomization.yaml": text})


def keyed(found):
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_directory_has_the_objects_of_standard_output(tmp_path, name):
    built = build(base(tmp_path, name))

    assert keyed(objects(name)) == keyed(built)
    assert len(objects(name)) == len(built)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_overlay_that_sets_a_namespace_is_as_if_it_had_been_generated_for_it(tmp_path, name):
    base(tmp_path, name)

    built = build(overlay(tmp_path, OVERLAY))

    assert keyed(moved(name)) == keyed(built)


def moved(name):
    """Return the objects of the same flags for the other namespace."""
    text = json.dumps(objects(name, f"--namespace={NAMESPACE}"))
    # An address in the node's network is a hash of namespace and NAME. It only has to be unique.
    for address in re.findall(rf"({LOOPBACK})", json.dumps(objects(name))):
        text = re.sub(LOOPBACK, address, text)
    return json.loads(text)
