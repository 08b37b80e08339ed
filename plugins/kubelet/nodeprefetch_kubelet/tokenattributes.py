"""The `tokenAttributes` of a provider: whether its program wants a service account token, and with what."""

import re
from dataclasses import dataclass

from nodeprefetch.values.image_ref import quote
from nodeprefetch_kubelet.members import Members

_CACHE_TYPES = ("ServiceAccount", "Token")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LONGEST_PREFIX = 253


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenAttributes:
    """What the configuration says of tokens. The kubelet makes tokens for pods; here one comes from a file."""

    audience: str
    required: bool
    """Without a token the program is not to be run."""

    required_annotations: tuple[str, ...] = ()
    """Of the service account. We have no way to know them."""


def read_token_attributes(members: Members) -> TokenAttributes:
    """Read and validate them. How the kubelet caches by token (`cacheType`) says nothing where there is one token."""
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
        members.problem("`requiredServiceAccountAnnotationKeys` need `requireServiceAccount: true`")
    for key in sorted(set(attributes.required_annotations) & set(optional_annotations)):
        members.problem(f"{quote(key)} is among both the required and the optional annotation keys")
    return attributes


def _read_keys(members: Members, name: str) -> tuple[str, ...]:
    keys = members.texts(name)
    for n, key in enumerate(keys):
        if key in keys[:n]:
            members.problem(f"`{name}[{n}]`: {quote(key)} stands twice")
        elif not _is_qualified_name(key):
            members.problem(f"`{name}[{n}]`: {quote(key)} is no key of an annotation: name or example.com/name")
    return keys


def _is_qualified_name(key: str) -> bool:
    """The rule of Kubernetes for keys of labels and annotations, the latter in any case."""
    prefix, slash, name = key.lower().rpartition("/")
    labels = prefix.split(".") if slash else []
    return bool(_NAME.fullmatch(name)) and len(prefix) <= _LONGEST_PREFIX and all(map(_LABEL.fullmatch, labels))
