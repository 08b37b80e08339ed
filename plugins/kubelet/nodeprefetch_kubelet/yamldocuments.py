"""YAML to the values that JSON knows. The only place that imports the YAML library, and only imported for YAML.

Not the library's own constructor: that one says nothing of duplicate keys, expands merge keys without bound, and fails
on numbers and dates that are none with whatever Python happens to raise.
"""

import yaml

from nodeprefetch.values.image_ref import quote
from nodeprefetch_kubelet.errors import DocumentError

_TAG = "tag:yaml.org,2002:"
_TEXTS = {_TAG + "str", _TAG + "timestamp", _TAG + "value"}
_NUMBERS = {_TAG + "int", _TAG + "float"}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_A_NUMBER = 0
_MOST_MERGED = 100_000
"""Members that merge keys may copy, of the whole document."""


def read_yaml(data: bytes) -> tuple[object, tuple[str, ...], bool]:
    """Read the first YAML document, as the kubelet does.

    Returns:
        Its value, in which every number is 0: that it is a number is all that a configuration of texts and booleans
        needs to know. Duplicate keys, with their lines. Whether something follows the document.

    Raises:
        DocumentError: not YAML, or more of YAML than is understood.
    """
    try:
        loader = yaml.SafeLoader(data.decode("utf-8-sig"))
        root = loader.get_node() if loader.check_node() else None
        if root is None:
            raise DocumentError("it is empty")
        builder = _Builder()
        return builder.build(root), tuple(builder.duplicates), _has_more(loader)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise DocumentError(f"not YAML: {error.problem or error.context}{line}") from error
    except yaml.YAMLError as error:
        raise DocumentError("not YAML: it has characters that are not allowed in it") from error
    except RecursionError as error:
        raise DocumentError("not YAML that can be read: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise DocumentError("not YAML: not UTF-8") from error
    except (ValueError, OverflowError) as error:  # the library's, of escapes and version numbers beyond all bounds
        raise DocumentError("not YAML: an escape or a directive in it is malformed") from error


def _has_more(loader: yaml.SafeLoader) -> bool:
    try:
        return bool(loader.check_node())
    except yaml.YAMLError:
        return True


class _Builder:
    """Makes values of nodes, each once however often an alias names it."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._built: dict[yaml.Node, object] = {}
        self._merged = 0

    def build(self, node: yaml.Node) -> object:
        if node in self._built:
            return self._built[node]
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            members: dict[str, object] = {}
            self._built[node] = members  # before its members: an alias in them may name it
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
        """What stands later wins, as in the kubelet; of a list, what stands first."""
        for one in reversed(merged) if isinstance(merged, list) else (merged,):
            if not isinstance(one, dict):
                raise DocumentError(f"a merge key (<<, line {_line(node)}) must have mappings as its value")
            self._merged += len(one)
            if self._merged > _MOST_MERGED:
                raise DocumentError(f"merge keys (<<) bring more than {_MOST_MERGED} members")
            members.update(one)


def _read_key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise DocumentError(f"a key that is no text (line {_line(node)})")
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
        raise DocumentError(f"half of a surrogate pair (line {_line(node)})") from error
    return text


def _not_understood(node: yaml.Node) -> DocumentError:
    return DocumentError(f"the tag {quote(node.tag)} (line {_line(node)}) is not understood")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
