"""The real kubectl, as one user of one cluster."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodeprefetch.errors import NodeprefetchError


class KubectlError(NodeprefetchError):
    """It ended with another status than 0; the text is what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """Runs it. Every call is a process, and blocks.

    Objects are given and returned as JSON has them.
    """

    command: Sequence[str]
    """How it is started, with what says which cluster."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Its standard output.

        Raises:
            KubectlError: it failed.
        """
        done = subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", **self.environment},
            check=False,
        )
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """An object."""
        found: dict[str, Any] = json.loads(self.run("get", kind, name, *_in(namespace), "--output=json"))
        return found

    def items(self, kind: str, *, selector: str = "", namespace: str = "") -> list[dict[str, Any]]:
        """All objects of a kind, or those with the labels."""
        which = [f"--selector={selector}"] if selector else []
        found: list[dict[str, Any]] = json.loads(self.run("get", kind, *which, *_in(namespace), "--output=json"))[
            "items"
        ]
        return found

    def create(self, *objects: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Make objects; they are returned as the server keeps them."""
        return [
            json.loads(self.run("create", "--filename=-", "--output=json", stdin=json.dumps(each))) for each in objects
        ]

    def apply(self, text: str, *options: str) -> str:
        """Apply a manifest on the server's side; what was done with each object, a line each."""
        return self.run("apply", "--server-side", "--filename=-", *options, stdin=text)

    def may(self, verb: str, resource: str, user: str, *, namespace: str = "") -> bool:
        """`kubectl auth can-i`, for another user."""
        try:
            self.run("auth", "can-i", verb, resource, f"--as={user}", *_in(namespace))
        except KubectlError:
            return False
        return True


def _in(namespace: str) -> list[str]:
    return [f"--namespace={namespace}"] if namespace else []
