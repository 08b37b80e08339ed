"""Which taints to remove from a node, as users write them: `KEY[=VALUE][:EFFECT]`. Pure.

The rules for keys, values and effects are those of Kubernetes:
https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

import re

import msgspec

from nodeprefetch.errors import UsageError

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

NAME_LIMIT, PREFIX_LIMIT = 63, 253
"""Characters of a key's name, and of a value; of a key's prefix."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_MANAGED = ("node.kubernetes.io", "node.cloudprovider.kubernetes.io")
"""Prefixes of taints that Kubernetes itself sets and removes, such as `node.kubernetes.io/not-ready`."""


class NamedTaint(msgspec.Struct, frozen=True, kw_only=True):
    """The taints that a user names."""

    key: str
    value: str | None = None
    """None: any value."""

    effect: str = ""
    """Empty: any effect."""

    def __str__(self) -> str:
        return f"{self.key}{'' if self.value is None else f'={self.value}'}{f':{self.effect}' if self.effect else ''}"

    def names(self, *, key: str, value: str, effect: str) -> bool:
        """Whether a taint with these is meant."""
        return key == self.key and self.value in {None, value} and self.effect in {"", effect}


def parse_taint(text: str) -> NamedTaint:
    """Parse `KEY[=VALUE][:EFFECT]`.

    Raises:
        UsageError: Kubernetes would accept no such taint, or manages it itself. With all problems.
    """
    rest, has_effect, effect = text.partition(":")
    key, has_value, value = rest.partition("=")
    problems = [*_key_problems(key), *_value_problems(value)]
    if has_effect and effect not in EFFECTS:
        problems.append(f"invalid effect {effect!r} (expected {', '.join(EFFECTS[:-1])} or {EFFECTS[-1]})")
    if problems:
        raise UsageError([f"{text!r}: {problem}" for problem in problems])
    return NamedTaint(key=key, value=value if has_value else None, effect=effect)


def _key_problems(key: str) -> list[str]:
    prefix, has_prefix, name = key.rpartition("/")
    problems = []
    if has_prefix and (len(prefix) > PREFIX_LIMIT or not all(map(_DNS_LABEL.match, prefix.split(".")))):
        problems.append(
            f"invalid key prefix {prefix!r}: must be a DNS subdomain: lowercase letters, digits, '-' and '.',"
            f" at most {PREFIX_LIMIT} characters"
        )
    if prefix in _MANAGED:
        problems.append(f"taints with the prefix {prefix}/ are managed by Kubernetes")
    if not name:
        problems.append("the key is empty" if not has_prefix else "the key has no name after '/'")
    elif len(name) > NAME_LIMIT or not _NAME.match(name):
        problems.append(f"invalid key {name!r}: {_NAME_RULE}")
    return problems


def _value_problems(value: str) -> list[str]:
    if not value or (len(value) <= NAME_LIMIT and _NAME.match(value)):
        return []
    return [f"invalid value {value!r}: {_NAME_RULE}"]


_NAME_RULE = (
    f"must begin and end with a letter or digit and contain only letters, digits, '-', '_' and '.',"
    f" at most {NAME_LIMIT} characters"
)
