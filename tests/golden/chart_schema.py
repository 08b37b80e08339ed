"""Writes the chart's values.schema.json: types, words and forms of the values, from the checks of the generator."""

import json
import re
from typing import Any

from deploy_gen.checks import (
    _DNS_LABEL,
    _DNS_SUBDOMAIN,
    _DURATION_PART,
    _NUMBER,
    _PERCENT,
    _QUALIFIED,
    _QUANTITY,
    _RATE,
    _SELINUX_TYPE,
    _SUBDOMAIN_LIMIT,
)
from deploy_gen.images import _DIGEST, _REFERENCE, _TAG
from deploy_gen.options import NODE_ACCESS
from deploy_gen.parse import _SERVICE_TYPES, NAME_LIMIT
from deploy_gen.platforms import CLOUDS, FLAVORS, GROWTHS
from deploy_gen.taints import _MANAGED, EFFECTS
from tests.golden.chart_values import IMAGE, NAME, Value, groups

Schema = dict[str, Any]

DURATION = rf"\+?(?:0|(?:{_DURATION_PART.pattern.replace('m(?!s)', 'm')})+)"
"""A duration in Go's notation. Where it is the whole text, the unit `m` need not look ahead."""

_KEY = rf"(?:{_DNS_SUBDOMAIN.pattern}/)?{_QUALIFIED.pattern}"
_LABEL_VALUE = rf"(?:{_QUALIFIED.pattern})?"
_TERM = (
    rf"\s*(?:{_KEY}\s+(?:in|notin)\s*\(\s*{_LABEL_VALUE}(?:\s*,\s*{_LABEL_VALUE})*\s*\)"
    rf"|{_KEY}\s*(?:==?|!=)\s*{_LABEL_VALUE}|!?\s*{_KEY})\s*"
)
"""Of a label selector."""

_EFFECT = rf"(?::(?:{'|'.join(EFFECTS)}))?"
_TAINT = rf"{_KEY}(?:={_LABEL_VALUE})?{_EFFECT}"
_PATH_LIMIT = 1024
_LETTER = r"[^/:\x00-\x1f\x7f]"
"""Of the name of a file, in a path that is also one of a container."""


def text() -> str:
    """Build the content of values.schema.json."""
    return json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema() -> Schema:
    values = [value for group in groups().values() for value in group]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart nodeprefetch",
        "$comment": "Written by `python -m tests.golden.chart`; do not edit.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            NAME.name: _described(NAME),
            "image": {
                "description": "The nodeprefetch image, which all pods run.",
                "type": "object",
                "additionalProperties": False,
                "properties": {value.name: _described(value, "image.") for value in IMAGE},
            },
            **{value.name: _described(value) for value in values if value != NAME},
            # Of charts that have this one as a dependency. Helm passes them on.
            "global": {"description": "Values of a parent chart, which this one does not use.", "type": "object"},
            "enabled": {"description": "For the condition of a dependency. Changes nothing else.", "type": "boolean"},
        },
    }


def _described(value: Value, prefix: str = "") -> Schema:
    default = {} if value.default in (None, "", [], {}) else {"default": value.default}
    return {"description": value.text, **default, **_of(value, prefix + value.name)}


def _of(value: Value, name: str) -> Schema:
    if name in _FORMS:
        return _FORMS[name]
    if value.kind == "switch":
        return {"type": "boolean"}
    if value.kind == "list":
        return {"type": "array", "items": {"type": "string"}}
    raise ValueError(f"no schema for {name}")


def _whole(pattern: str) -> Schema:
    """A text of this form, which may be empty: then it is not given."""
    return {"type": "string", "pattern": f"^(?:{portable(pattern)})?$"}


def portable(pattern: str) -> str:
    """Without names of groups, which are written differently in JavaScript."""
    return re.sub(r"\?P<\w+>", "?:", pattern)


def _some(pattern: str) -> Schema:
    """The same, and not a zero in any notation."""
    return {**_whole(pattern), "allOf": [{"pattern": "^$|[1-9]|^(?:never|auto)$"}]}


def _words(*words: str) -> Schema:
    return {"type": "string", "enum": ["", *words]}


def _path(pattern: str) -> Schema:
    return {**_whole(pattern), "maxLength": _PATH_LIMIT, "not": {"pattern": r"(?:^|/)\.\.(?:/|$)"}}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_SUBDOMAIN = {**_whole(_DNS_SUBDOMAIN.pattern), "maxLength": _SUBDOMAIN_LIMIT}
_INTERVAL = _some(DURATION)
_IMAGES: Schema = {"type": ["array", "string", "null"], "items": {"type": "string"}}

_TOLERATION: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "key": _whole(_KEY),
        "operator": _words("Exists", "Equal", "Lt", "Gt"),
        "value": _whole(_LABEL_VALUE),
        "effect": _words(*EFFECTS),
        "tolerationSeconds": {"type": "integer"},
    },
}

_FORMS: dict[str, Schema] = {
    "name": {**_whole(_DNS_SUBDOMAIN.pattern), "maxLength": NAME_LIMIT},
    "image.repository": _whole(_REFERENCE.pattern),
    "image.tag": _whole(f"{_TAG}(?:@{_DIGEST})?"),
    "images": _IMAGES,
    "gateNeeds": _IMAGES,
    "imagePullSecrets": _list(_SUBDOMAIN),
    "secrets": _list(_SUBDOMAIN),
    "useKubeletImageCredentialIntegration": _words(*CLOUDS),
    "imageCredentialProviderConfig": _path(rf"/{_LETTER}(?:{_LETTER}|/)*"),
    "imageCredentialProviderBinDir": _path(rf"/{_LETTER}(?:{_LETTER}|/)*"),
    "k8sFlavor": _words(*FLAVORS),
    "nodeSelector": {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {f"^{_KEY}$": {"type": "string", "pattern": f"^{_LABEL_VALUE}$"}},
    },
    "tolerations": _list({"anyOf": [_whole(rf"{_TAINT}|:(?:{'|'.join(EFFECTS)})"), _TOLERATION]}),
    "maxUnavailable": {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 999999999,
        "pattern": _whole(f"{_PERCENT.pattern}|{_NUMBER.pattern}")["pattern"],
    },
    "priorityClass": _SUBDOMAIN,
    "criSocket": _path(rf"(?:unix://)?/{_LETTER}(?:{_LETTER}|/)*/{_LETTER}+"),
    "crioDownloadDir": _path(rf"none|/{_LETTER}(?:{_LETTER}|/)*"),
    "selinuxType": _whole(_SELINUX_TYPE.pattern),
    "onceFor": _whole(rf"\s*(?:{_DNS_LABEL.pattern}/\s*)?{_TERM}(?:,{_TERM})*"),
    "checkEvery": _INTERVAL,
    "refreshEvery": _some(f"never|{DURATION}"),
    "reportEvery": _INTERVAL,
    "spread": _some(f"auto|{DURATION}"),
    "registryRate": _some(_RATE.pattern),
    "nodeLabelPrefix": _SUBDOMAIN,
    "removeStartupTaints": _list({**_whole(_TAINT), "not": {"pattern": f"^(?:{'|'.join(_MANAGED)})/"}}),
    "gateTimeout": {"anyOf": [_whole(DURATION), {"const": 0}]},
    "persist": _some(_QUANTITY.pattern),
    "expose": _words(*_SERVICE_TYPES),
    "pullingNodes": {
        "type": ["integer", "string", "null"],
        "minimum": 0,
        "maximum": 999999,
        "pattern": "^(?:0|[1-9][0-9]{0,5})?$",
    },
    "growth": _words(*GROWTHS),
    "nodeAccess": _words(*NODE_ACCESS),
}
"""What is not a switch, and not a list of any texts."""
