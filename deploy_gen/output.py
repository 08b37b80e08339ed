"""The manifests as text: documents of YAML, or one List as JSON."""

import json
import shlex
from collections.abc import Sequence

from deploy_gen.objects import Object
from deploy_gen.yaml import to_yaml


def render(objects: Sequence[Object], output: str, arguments: Sequence[str]) -> str:
    """The text.

    Args:
        objects: in the order in which they are to be made.
        output: `yaml` or `json`.
        arguments: what was asked for; YAML begins with them, so that a file tells how to make it again.
    """
    if output == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=2) + "\n"
    command = shlex.join(["nodeprefetch-deploy", *arguments])
    # A comment ends where the line does: nothing but printable ASCII may come into it.
    header = "# " + "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in command) + "\n"
    return header + "".join("---\n" + to_yaml(one) for one in objects)
