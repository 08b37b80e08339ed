"""Reads the `tokenAttributes` of a provider: whether its program takes a service account token, and which."""

import re
from dataclasses import dataclass

from nodeprefetch.credentials import quote
from nodeprefetch_kubelet.members import Members

_CACHE_TYPES = ("ServiceAccount", "Token")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LONGEST_PREFIX = 253


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenAttributes:
    """The token settings of a provider. The kubelet creates tokens for pods; here a token comes from a file."""

    audience: str
    required: bool
    """Whether the program must not run without a token."""

    required_annotations: tuple[str, ...] = ()
    """Keys of annotations of the service account, which are not available here."""


def read_token_attributes(members: Members) -> TokenAttributes:
    """Read and validate the attributes. `cacheType` has no effect here, as there is only one token."""
    attributes = TokenAttributes(
        audience=members.text("serviceAccountTokenAudience"),
        required=members.flag("requireServiceAccount"),
        required_annotations=_read_keys(members, "requiredServiceAccountAnnotationKeys"),
    )
    optional_annotations = _read_keys(members, "optionalServiceAccountAnnotationKeys")
    cache_type = members.optional_text("cacheType")
    members.mention_others()
    if cache_type not in _CACHE_TYPES:
        found = f"is {quote(cache_type)}" if cache_type else "is missing"
        members.warning(f"`cacheType` {found}: kubelets since 1.34 require {' or '.join(_CACHE_TYPES)}")
    if attributes.required_annotations and not attributes.required:
        members.problem("`requiredServiceAccountAnnotationKeys` require `requireServiceAccount: true`")
    for key in sorted(set(attributes.required_annotations) & set(optional_annotations)):
        members.problem(f"annotation key {quote(key)} must not be both required and optional")
    return attributes


def _read_keys(members: Members, name: str) -> tuple[str, ...]:
    keys = members.texts(name)
    for n, key in enumerate(keys):
        if key in keys[:n]:
            members.problem(f"`{name}[{n}]`: duplicate key {quote(key)}")
        elif not _is_qualified_name(key):
            fault = "is not a valid annotation key (expected name or example.com/name)"
            members.problem(f"`{name}[{n}]`: {quote(key)} {fault}")
    return keys


def _is_qualified_name(key: str) -> bool:
    """Check the rule of Kubernetes for keys of labels and annotations; those of annotations may be in any case."""
    prefix, slash, name = key.lower().rpartition("/")
    labels = prefix.split(".") if slash else []
    return bool(_NAME.fullmatch(name)) and len(prefix) <= _LONGEST_PREFIX and all(map(_LABEL.fullmatch, labels))
