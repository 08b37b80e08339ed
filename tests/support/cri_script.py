"""The state of the fake CRI server: what images do when they are pulled, which are held, what was asked."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import msgspec

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing.service import Hang
from nodeprefetch.testing.waiting import wait_until
from nodeprefetch.values.image_ref import ImageRef


@dataclass(frozen=True, slots=True)
class Refusal:
    """A pull that fails with this gRPC status name and this message, to the letter."""

    code: str
    message: str


class FromRegistry(Enum):
    """A pull that really downloads the image."""

    FROM_REGISTRY = "from registry"


FROM_REGISTRY = FromRegistry.FROM_REGISTRY
"""A pull that really downloads the image from the registry in its name, by plain HTTP, and throws it away."""

Outcome = str | RuntimeFaultError | Hang | Refusal | FromRegistry
"""What one PullImage does: bring the image of that ID, fail, take long, download."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pull:
    """One PullImage."""

    image: str
    """As it was asked for."""

    auth: AuthConfig | None
    metadata: Mapping[str, str]
    """Of the call, such as `containerd-lease`."""

    started: float
    """`time.monotonic()` when it came."""

    ended: float | None = None
    """When it was answered or cut; None as long as it is under way."""

    was_cancelled: bool = False
    """The client cancelled it, left, or set a deadline that passed."""


class CriScript:
    """May be used from several threads.

    Args:
        outcomes: see `tests.support.cri_server.FakeCriServer`.
        images: what is held.
        otherwise: what a PullImage of an image does that is not in `outcomes`.
    """

    def __init__(
        self,
        outcomes: Mapping[str, Sequence[Outcome]],
        images: Iterable[ImageRecord],
        otherwise: Outcome | None,
    ) -> None:
        self._changed = threading.Condition()
        self._outcomes: dict[str, list[Outcome]] = {}
        self._otherwise = otherwise
        self._held = list(images)
        self._pulls: list[Pull] = []
        self._asked: list[str] = []
        for image, steps in outcomes.items():
            self.plan(image, *steps)

    @property
    def pulls(self) -> tuple[Pull, ...]:
        """Every PullImage so far, in the order in which they came."""
        with self._changed:
            return tuple(self._pulls)

    def wait_until(self, is_enough: Callable[[tuple[Pull, ...]], bool]) -> tuple[Pull, ...]:
        """See `tests.support.cri_server.FakeCriServer`."""
        wait_until(self._changed, lambda: is_enough(self.pulls), lambda: self.pulls)
        return self.pulls

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of all methods called, in order."""
        with self._changed:
            return tuple(self._asked)

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        """What is held."""
        with self._changed:
            return tuple(self._held)

    def plan(self, image: str, *outcomes: Outcome) -> None:
        """From now on, pulls of this image do this; the last outcome stays."""
        with self._changed:
            self._outcomes[ImageRef.parse(image).pull_ref] = list(outcomes)

    def note(self, method: str) -> None:
        """A method was called."""
        with self._changed:
            self._asked.append(method)

    def begin(self, image: str, auth: AuthConfig | None, metadata: Mapping[str, str]) -> int:
        """A PullImage has come; its number."""
        pull = Pull(image=image, auth=auth, metadata=metadata, started=time.monotonic())
        with self._changed:
            self._pulls.append(pull)
            self._changed.notify_all()
            return len(self._pulls) - 1

    def end(self, number: int, *, was_cancelled: bool) -> None:
        """A PullImage has been answered, or cut."""
        with self._changed:
            pull = self._pulls[number]
            self._pulls[number] = replace(pull, ended=time.monotonic(), was_cancelled=was_cancelled)
            self._changed.notify_all()

    def next_outcome(self, ref: ImageRef) -> Outcome:
        """What this pull does; it is used up by that, unless it is the last one."""
        name = ref.pull_ref
        with self._changed:
            outcomes = self._outcomes.get(name)
            if outcomes:
                return outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if self._otherwise is not None:
            return self._otherwise
        return Refusal(
            "NOT_FOUND",
            f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found',
        )

    def hold(self, ref: ImageRef, image_id: str, *, digest: str, size: int) -> None:
        """The image is here now, under one name more, which it takes away from any other."""
        tag = "" if ref.digest else ref.pull_ref
        named = f"{ref.lookup_name}@{ref.digest or digest}"
        with self._changed:
            others = [
                msgspec.structs.replace(record, repo_tags=tuple(name for name in record.repo_tags if name != tag))
                for record in self._held
            ]
            old = next((record for record in others if record.id == image_id), ImageRecord(id=image_id, size=size))
            new = msgspec.structs.replace(
                old,
                repo_tags=tuple(dict.fromkeys([*old.repo_tags, *([tag] if tag else [])])),
                repo_digests=tuple(dict.fromkeys([*old.repo_digests, named])),
            )
            self._held = [record for record in others if record.id != image_id] + [new]

    def find(self, image: str) -> ImageRecord | None:
        """The image of that name, digest or ID, as containerd looks it up."""
        try:
            name = ImageRef.parse(image).pull_ref
        except ValueError:
            name = image
        for record in self.images:
            if name in (*record.repo_tags, *record.repo_digests) or image in (
                record.id,
                record.id.removeprefix("sha256:"),
            ):
                return record
        return None

    def remove(self, image: str) -> None:
        """Hold it no longer, under none of its names."""
        record = self.find(image)
        with self._changed:
            self._held = [each for each in self._held if record is None or each.id != record.id]
