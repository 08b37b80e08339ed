"""The values of the Helm chart, each from a flag of the generator: name, type, default and meaning."""

import re
from argparse import Action
from dataclasses import dataclass

from deploy_gen.arguments import new_parser
from deploy_gen.images import DEFAULT_REPOSITORY

MISSING_FLAGS = frozenset({"--namespace", "--output", "--output-dir", "--image", "--version", "--help"})
"""The release has a namespace, Helm an output, and the value `image` what two flags set."""

_OTHER_NAMES = {
    "--fetch-arg": "fetchArgs",
    "--aggregate-arg": "aggregateArgs",
    "--secret": "secrets",
    "--image-pull-secret": "imagePullSecrets",
    "--toleration": "tolerations",
    "--remove-startup-taint": "removeStartupTaints",
    "--image": "image.repository",
    "--version": "image.tag",
}
"""Values of flags that may be repeated are lists, with a name in the plural."""

_OTHER_TYPES = {
    "images": ("list or text", None),
    "gateNeeds": ("list or text", None),
    "nodeSelector": ("map", {}),
    "pullingNodes": ("number", None),
    "maxUnavailable": ("number or text", "100%"),
}
"""Type and default of values that are not what their flag suggests."""

_OTHER_TEXTS = {
    "images": "Images to pull: a list of names, or the content of a list file (--set-file images=images.txt). Changes"
    " trigger a rollout, except with keep. Without it, create the ConfigMap NAME with the key images.txt yourself.",
    "gateNeeds": "Images of the list that a new node needs to open, in the same forms; the others may come later."
    " Requires images. Default: all.",
    "nodeSelector": "Only nodes with these labels.",
    "tolerations": "Taints to tolerate, as texts KEY[=VALUE][:EFFECT] or as in a pod. Default: all taints.",
    "nodeReadinessRule": "Also create a rule for the Node Readiness Controller, which then removes its taint from new"
    " nodes. Implies nodeCondition.",
}

_OTHER_WORDS = {
    "%%": "%",
    " May be repeated.": "",
    "Pull secret for": "Pull secrets for",
    "Argument to pass": "Arguments to pass",
    "Taint that keeps": "Taints that keep",
    "which the flags below": "which the values below",
    "what the flags above": "what the values above",
    "only with CLOUD": "only with a cloud",
    "credential providers of GKE": "credential providers of a cloud: GKE",
}
"""Words of the help that do not fit a list, or values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A value of the chart."""

    name: str
    kind: str
    """Its type, for people."""

    default: object
    text: str
    """What it means."""


IMAGE = (
    Value(
        name="repository",
        kind="text",
        default=DEFAULT_REPOSITORY,
        text="Repository of the nodeprefetch image, e.g. a mirror. With a tag or digest, it is used as it is.",
    ),
    Value(
        name="tag",
        kind="text",
        default="",
        text="Tag of the image, also a Go pseudo-version. Where credential providers of the node need it, the tag's"
        " variant -distro is used. A tag with a digest, v1.2.3@sha256:…, is used as it is. Default: the chart's"
        " appVersion.",
    ),
)
"""The members of `image`."""

NAME = Value(
    name="name",
    kind="text",
    default="",
    text="Name of the installation, unique in the cluster: of its objects and the node label. Default: the name of the"
    " release.",
)


def value_name(flag: str) -> str:
    """Name the value of a flag."""
    first, *others = flag.removeprefix("--").split("-")
    return _OTHER_NAMES.get(flag) or first + "".join(map(str.capitalize, others))


def groups() -> dict[str, list[Value]]:
    """List all values but `image` by the title of their group, in the order of `--help`."""
    found = {
        str(group.title): [_value(action) for action in group._group_actions if _flag(action) not in MISSING_FLAGS]
        for group in new_parser()._action_groups
        if group.title != "Help"
    }
    found = {title: values for title, values in found.items() if values}
    found["Installation"].insert(0, NAME)
    return found


def in_values(text: str) -> str:
    """Rewrite a text about flags as one about values."""
    return re.sub(r"--[a-z][a-z0-9-]*", lambda match: _value_of(match[0]), text)


def _value_of(flag: str) -> str:
    return value_name(flag) if flag in _flags() else flag


def _flags() -> set[str]:
    return {option for action in new_parser()._actions for option in action.option_strings}


def _flag(action: Action) -> str:
    return action.option_strings[-1]


def _value(action: Action) -> Value:
    name = value_name(_flag(action))
    kinds: dict[object, tuple[str, object]] = {False: ("switch", False), "": ("text", "")}
    default = action.default if isinstance(action.default, bool | str) else ""
    kind = ("list", []) if action.default == [] else kinds.get(default, ("text", default))
    kind = _OTHER_TYPES.get(name, kind)
    text = str(action.help)
    for found, said in _OTHER_WORDS.items():
        text = text.replace(found, said)
    return Value(name=name, kind=kind[0], default=kind[1], text=_OTHER_TEXTS.get(name) or in_values(text))
