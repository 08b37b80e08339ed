"""Which pods a user means: `[NAMESPACE/]SELECTOR`, with label selectors as kubectl takes them.

`deploy_gen` has the same file, as it imports nothing of nodeprefetch. The rules are those of Kubernetes:
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

PREFIX_LIMIT = 253
"""Characters of a key's prefix. Its name, values and namespaces have at most 63."""

_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_NAMESPACE = re.compile(_DNS_LABEL)
_KEY = re.compile(rf"(?:(?P<prefix>{_DNS_LABEL}(?:\.{_DNS_LABEL})*)/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_TERMS = re.compile(r"[^,(]*(?:\([^)]*\)[^,(]*)?")
_EQUALITY = re.compile(r"(?P<key>[^=!]*)(?:==|!=|=)(?P<value>.*)", re.DOTALL)
_SET = re.compile(r"(?P<key>\S+)\s+(?:in|notin)\s*\((?P<values>[^()]*)\)")

EXPECTED = "expected a label selector such as app=web or 'app=web,tier in (front, back)'"


class PodSelector(NamedTuple):
    """Pods of one namespace. Its `str` is what was parsed, in its shortest form."""

    namespace: str
    """Empty: that of the installation."""

    labels: str
    """The label selector."""

    def __str__(self) -> str:
        """Write it as it is parsed."""
        return f"{self.namespace}/{self.labels}" if self.namespace else self.labels


def split_pod_selector(text: str) -> PodSelector:
    """Split the text. What comes before its first `/` is the namespace, unless it cannot be one, as `example.com`."""
    before, slash, after = text.strip().partition("/")
    if slash and _NAMESPACE.fullmatch(before):
        return PodSelector(before, after.strip())
    return PodSelector("", text.strip())


def pod_selector_problems(text: str) -> list[str]:
    """Find everything for which Kubernetes would refuse the selector, one line each. Empty: it is valid."""
    labels = split_pod_selector(text).labels
    if not labels:
        return [f"{text!r} selects all pods ({EXPECTED})"]
    return [f"{text!r}: {problem}" for term in _terms(labels) for problem in _term_problems(term.strip())]


def _terms(labels: str) -> Iterator[str]:
    """Yield what the commas outside of parentheses separate."""
    place = 0
    while True:
        term = _TERMS.match(labels, place)
        end = term.end() if term else place
        if end < len(labels) and labels[end] == "(":  # not closed, or the second one
            yield labels[place:]
            return
        yield labels[place:end]
        if end >= len(labels):
            return
        place = end + 1


def _term_problems(term: str) -> Iterator[str]:
    if not term:
        yield f"a term is empty ({EXPECTED})"
    elif of_set := _SET.fullmatch(term):
        yield from _key_problems(of_set["key"])
        for value in of_set["values"].split(","):
            yield from _value_problems(value.strip())
    elif "(" not in term and (equality := _EQUALITY.fullmatch(term)) and equality["key"].strip():
        yield from _key_problems(equality["key"].strip())
        yield from _value_problems(equality["value"].strip())
    elif not _is_key(term.removeprefix("!").strip()):
        yield f"invalid term {term!r} ({EXPECTED})"


def _is_key(text: str) -> bool:
    match = _KEY.fullmatch(text)
    return match is not None and len(match["prefix"] or "") <= PREFIX_LIMIT


def _key_problems(key: str) -> Iterator[str]:
    if not _is_key(key):
        yield f"invalid label key {key!r} ({EXPECTED})"


def _value_problems(value: str) -> Iterator[str]:
    if not _VALUE.fullmatch(value):
        yield (
            f"invalid label value {value!r}: must be up to 63 letters, digits, '-', '_' and '.', and begin and end with"
            " a letter or digit"
        )
