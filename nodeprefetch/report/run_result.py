"""What a run has found so far, for those who write it on the node."""

import msgspec
import trio

from nodeprefetch.events import (
    AttemptStarted,
    Event,
    GateOpened,
    ImageFinished,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)

SUCCEEDED, FAILED = "succeeded", "failed"
"""Values of the node's label."""

TEXT_LIMIT = 500
"""Characters of an image's name and of its error: all annotations of a node share 256 KiB."""


class FirstFailure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image that failed first."""

    image: str
    error: str
    error_class: str = ""
    reason: str = ""
    """As in the log: what kind of error it was, and which one."""


class RunResult:
    """Takes the events of a run.

    Args:
        is_warm: the last run found all images, and has reported it. Then only an image that cannot be pulled again is
            missing.
    """

    def __init__(self, *, is_warm: bool = False) -> None:
        self.is_warm = is_warm
        self.images = 0
        """Number of images in the list."""

        self.list_digest = ""
        """Identifies the list."""

        self.succeeded = 0
        self.present = 0
        self.failed = 0
        self.first_failure: FirstFailure | None = None
        self.finished: RunFinished | None = None
        """How the run ended; None: it has not, or never began to pull."""

        self.missing = trio.Event()
        """Set once an image is known to be missing; on a warm node, once it cannot be pulled again."""

        self.has_news = False
        """Whether an image had to be pulled that was not on the node."""

        self.gave_up = False
        """Whether the node takes pods although images are missing."""

        self.is_ending = False
        """Whether the final state is being written, so nothing else may be written any more."""

    def take(self, event: Event) -> None:
        """Take an event of the run."""
        match event:
            case RunStarted():
                self.images = len(event.images)
                self.list_digest = event.list_digest
            case AttemptStarted() if not event.is_present:
                self.has_news = True
                if not self.is_warm:
                    self.missing.set()
            case ImageFinished():
                self._count(event)
            case GateOpened():
                self.gave_up = event.gave_up
            case RunFinished():
                self.finished = event
                self.is_ending = True
            case _:
                pass

    @property
    def value(self) -> str:
        """Value of the label: `succeeded` if the run finished and every image is present, otherwise `failed`."""
        return SUCCEEDED if self.finished is not None and not self.finished.failed else FAILED

    @property
    def is_inconclusive(self) -> bool:
        """Whether the next run will know more: it follows at once, or no runtime answered on a warm node.

        In the second case the next run finds no warm node.
        """
        if self.finished is not None and self.finished.superseded:
            return True
        return self.is_warm and (self.finished is None or self.finished.end is RunEnd.NO_RUNTIME)

    @property
    def says_nothing_new(self) -> bool:
        """Whether the node is as the last run has left and reported it, as far as this one knows."""
        return self.is_inconclusive or (self.is_warm and self.value == SUCCEEDED and not self.has_news)

    @property
    def state_text(self) -> str:
        """How many images are missing, for people. The same for equal results, whatever was pulled for them."""
        if self.value == SUCCEEDED:
            return f"{images_text(self.images)} present"
        listed = self.images or self.succeeded + self.present + self.failed
        end = f" (run {self.finished.end})" if self.finished and self.finished.end is not RunEnd.FINISHED else ""
        return f"{self.failed} of {images_text(listed)} missing{end}"

    def _count(self, image: ImageFinished) -> None:
        match image.outcome:
            case Outcome.SUCCEEDED:
                self.succeeded += 1
            case Outcome.PRESENT:
                self.present += 1
            case _:
                self.failed += 1
                self.missing.set()
                if self.first_failure is None:
                    self.first_failure = FirstFailure(
                        image=bounded(image.image, TEXT_LIMIT),
                        error=bounded(image.error, TEXT_LIMIT),
                        error_class=image.error_class,
                        reason=image.reason,
                    )


def images_text(count: int) -> str:
    """`1 image`, `2 images`."""
    return f"{count} image{'' if count == 1 else 's'}"


def bounded(text: str, limit: int) -> str:
    """The text on one line, and with at most so many characters."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
