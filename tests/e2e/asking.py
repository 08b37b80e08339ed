"""Commands for people, asked on a cluster: from a shell of the first node, by whoever the kubeconfig is for."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.installation import ROOT
from tests.e2e.readme import commands, section
from tests.e2e.warmcluster import AGGREGATOR, INSTANCE, NAMESPACE, WarmCluster
from tests.support.patience import PATIENCE

WAIT = f"kubectl nodeprefetch wait {INSTANCE} --namespace {NAMESPACE}"
STATUS = f"kubectl nodeprefetch status {INSTANCE} --namespace {NAMESPACE}"
CI_PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What is left of a command."""

    code: int
    text: str
    """All that it wrote, errors between."""

    at: float
    """Unix seconds of its end."""


class Asked:
    """A command that runs."""

    def __init__(self, site: WarmCluster, command: str) -> None:
        self.command = command
        self._shell = site.start(f"exec {command}")
        self._changed = threading.Condition()
        self._text = ""
        self._ended_at: float | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """What it has written so far."""
        with self._changed:
            return self._text

    @property
    def has_ended(self) -> bool:
        return self._ended_at is not None

    def wait_for(self, *words: str) -> None:
        """Block until it has written one of them.

        Raises:
            AssertionError: it ended without, or did not write it.
        """
        with self._changed:
            self._changed.wait_for(lambda: any(word in self._text for word in words) or self.has_ended, PATIENCE)
            assert any(word in self._text for word in words), f"{self.command} did not write {words}:\n{self._text}"

    def end(self) -> Answered:
        """Wait for its end."""
        self._reader.join(PATIENCE)
        assert self._ended_at is not None, f"{self.command} did not end:\n{self.text}"
        return Answered(code=self._shell.returncode, text=self.text, at=self._ended_at)

    def kill(self) -> None:
        """End it where it has not ended."""
        self._shell.kill()
        self._reader.join(PATIENCE)

    def _read(self) -> None:
        assert self._shell.stdout
        with self._shell.stdout as stream:
            while part := os.read(stream.fileno(), 65536):
                with self._changed:
                    self._text += part.decode(errors="replace")
                    self._changed.notify_all()
        self._shell.wait()
        with self._changed:
            self._ended_at = time.time()
            self._changed.notify_all()


@contextmanager
def asking(site: WarmCluster, command: str) -> Iterator[Asked]:
    """Inside, the command runs, unless it has ended by itself."""
    asked = Asked(site, command)
    try:
        yield asked
    finally:
        asked.kill()


def ask(site: WarmCluster, command: str) -> Answered:
    """Run it to its end, whatever that is."""
    with asking(site, command) as asked:
        return asked.end()


def status(site: WarmCluster, *, kubeconfig: str = "") -> dict[str, Any]:
    """The installation, as `status` shows it to programs.

    Raises:
        AssertionError: it had no answer.
    """
    who = f"KUBECONFIG={kubeconfig} " if kubeconfig else ""
    found: dict[str, Any]
    (found,) = json.loads(site.type(f"{who}{STATUS} --output json"))
    return found


@contextmanager
def no_aggregator(site: WarmCluster) -> Iterator[None]:
    """Inside, there is none behind its Service. The next one has lost what this one knew."""
    scale = f"kubectl scale deployment {INSTANCE}-metrics --namespace {NAMESPACE} --replicas"
    site.type(f"{scale} 0\nkubectl wait --for=delete pod --selector {AGGREGATOR} --namespace {NAMESPACE} --timeout 5m")
    try:
        yield
    finally:
        site.type(f"{scale} 1")
        site.wait_for_aggregator()


READER = "reader.kubeconfig"
"""Of the account of `--reader-role`."""


def make_reader(site: WarmCluster) -> None:
    """Type the commands of docs/ci.md that make the account and its kubeconfig."""
    site.type(commands(section("Permissions", CI_PAGE)))
