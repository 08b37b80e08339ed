"""The manifests are valid for the oldest supported and the newest Kubernetes."""

import copy
import json
from functools import cache

import kubernetes_validate
import pytest

from tests.golden.regenerate import COMMANDS, objects

OLDEST, NEWEST = "1.30", "1.37"
"""1.30 has ValidatingAdmissionPolicy, and tokens with the node of their pod."""

OPERATORS = {"ServiceMonitor"}
"""Kinds of third-party operators, which Kubernetes has no schema for."""


@cache
def valid_for(text: str, version: str) -> str:
    """Validate an object and return the version. Cached, as many manifests share objects and validation is slow."""
    return kubernetes_validate.validate(json.loads(text), version, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_object_is_valid(name, version):
    found = [json.dumps(each) for each in objects(name) if each["kind"] not in OPERATORS]

    assert [version] * len(found) == [valid_for(each, version) for each in found]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schemas_reject_an_unknown_field(version):
    broken = copy.deepcopy(objects("aks")[-1])
    broken["spec"]["template"]["spec"]["initContainers"][0]["arguments"] = []

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)
