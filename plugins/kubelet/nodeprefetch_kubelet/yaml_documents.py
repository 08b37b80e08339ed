"""Parses YAML into JSON values. Only this module imports the YAML library, and it is imported only for YAML.

It does not use the library's own constructor, which ignores duplicate keys, expands merge keys without limit, and
raises arbitrary Python exceptions on invalid numbers and dates.
"""

import yaml

from nodeprefetch.credentials import quote
from nodeprefetch_kubelet.errors import DocumentError

_TAG = "tag:yaml.org,2002:"
_TEXTS = {_TAG + "str", _TAG + "timestamp", _TAG + "value"}
_NUMBERS = {_TAG + "int", _TAG + "float"}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_A_NUMBER = 0
_MOST_MERGED = 100_000
"""Maximum number of fields that merge keys may copy in a document."""


def read_yaml(data: bytes) -> tuple[object, tuple[str, ...], bool]:
    """Parse the first YAML document, like the kubelet.

    Returns:
        Its value, in which every number is 0, since a configuration has only strings and booleans. Duplicate keys, with
        their lines. Whether another document follows.

    Raises:
        DocumentError: not YAML, or YAML features that are not supported.
    """
    try:
        loader = yaml.SafeLoader(data.decode("utf-8-sig"))
        root = loader.get_node() if loader.check_node() else None
        if root is None:
            raise DocumentError("the document is empty")
        builder = _Builder()
        return builder.build(root), tuple(builder.duplicates), _has_more(loader)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise DocumentError(f"not YAML: {error.problem or error.context}{line}") from error
    except yaml.YAMLError as error:
        raise DocumentError("not YAML: contains invalid characters") from error
    except RecursionError as error:
        raise DocumentError("YAML is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise DocumentError("not YAML: not UTF-8") from error
    except (ValueError, OverflowError) as error:  # from the library, for huge escapes and version numbers
        raise DocumentError("not YAML: malformed escape or directive") from error


def _has_more(loader: yaml.SafeLoader) -> bool:
    try:
        return bool(loader.check_node())
    except yaml.YAMLError:
        return True


class _Builder:
    """Converts nodes to values, each node once, however many aliases it has."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._built: dict[yaml.Node, object] = {}
        self._merged = 0

    def build(self, node: yaml.Node) -> object:
        if node in self._built:
            return self._built[node]
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            members: dict[str, object] = {}
            self._built[node] = members  # before its fields: an alias in them may refer to it
            own: set[str] = set()
            for key_node, value_node in node.value:
                if key_node.tag == _TAG + "merge":
                    self._merge(members, self.build(value_node), key_node)
                    continue
                key = _read_key(key_node)
                if key in own:
                    self.duplicates.append(f"{key} (line {_line(key_node)})")
                own.add(key)
                members[key] = self.build(value_node)
            return members
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items: list[object] = []
            self._built[node] = items
            items.extend(self.build(item) for item in node.value)
            return items
        if isinstance(node, yaml.ScalarNode):
            return _read_scalar(node)
        raise _not_understood(node)

    def _merge(self, members: dict[str, object], merged: object, node: yaml.Node) -> None:
        """Copy fields. As in the kubelet, later keys win over earlier ones, and the first mapping in a list wins."""
        for one in reversed(merged) if isinstance(merged, list) else (merged,):
            if not isinstance(one, dict):
                raise DocumentError(f"a merge key (<<, line {_line(node)}) must have mappings as its value")
            self._merged += len(one)
            if self._merged > _MOST_MERGED:
                raise DocumentError(f"merge keys (<<) expand to more than {_MOST_MERGED} fields")
            members.update(one)


def _read_key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise DocumentError(f"a key must be a string (line {_line(node)})")
    return _read_text(node)


def _read_scalar(node: yaml.ScalarNode) -> str | int | bool | None:
    if node.tag in _TEXTS:
        return _read_text(node)
    if node.tag == _TAG + "null":
        return None
    if node.tag in _NUMBERS:
        return _A_NUMBER
    if node.tag == _TAG + "bool" and node.value.lower() in _BOOLEANS:
        return _BOOLEANS[node.value.lower()]
    raise _not_understood(node)


def _read_text(node: yaml.ScalarNode) -> str:
    text = str(node.value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DocumentError(f"unpaired surrogate (line {_line(node)})") from error
    return text


def _not_understood(node: yaml.Node) -> DocumentError:
    return DocumentError(f"unsupported tag {quote(node.tag)} (line {_line(node)})")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
