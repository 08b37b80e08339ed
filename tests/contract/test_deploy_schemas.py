"""The manifests are valid for the oldest supported and the newest Kubernetes."""

import copy
import json
from functools import cache
from typing import Any

import pytest

from tests.golden.regenerate import COMMANDS, objects

OLDEST, NEWEST = "1.30", "1.37"
"""1.30 has ValidatingAdmissionPolicy, and tokens with the node of their pod."""

OPERATORS = {"ServiceMonitor", "PrometheusRule", "NodeReadinessRule"}
"""Kinds of third-party operators and controllers, which Kubernetes has no schema for."""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def schemas() -> Any:
    """The module that has them."""
    import kubernetes_validate  # noqa: PLC0415 - takes seconds, also where other tests run

    return kubernetes_validate


@cache
def valid_for(schemas: Any, text: str, version: str) -> str:
    """Validate an object and return the version. Cached, as many manifests share objects and validation is slow."""
    return schemas.validate(json.loads(text), version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_object_is_valid(schemas, name, version):
    found = [json.dumps(each) for each in objects(name) if each["kind"] not in OPERATORS]

    assert [version] * len(found) == [valid_for(schemas, each, version) for each in found]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schemas_reject_an_unknown_field(schemas, version):
    broken = copy.deepcopy(objects("aks")[-1])
    broken["spec"]["template"]["spec"]["initContainers"][0]["arguments"] = []

    with pytest.raises(schemas.ValidationError):
        schemas.validate(broken, version, strict=True)
