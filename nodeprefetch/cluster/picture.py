"""What is known of an installation at one moment, whatever it was made from."""

from enum import StrEnum

import msgspec


class NodeState(StrEnum):
    """The state of a node, for the list of now and the pods of now."""

    WARM = "warm"
    """Every image of the list is on the node."""

    PULLING = "pulling"
    WAITING = "waiting"
    """It has not begun, or has not reported this list yet."""

    FAILED = "failed"
    """Its latest run has ended, and images are missing."""

    UNSEEN = "not-seen"
    """Its pod runs nowhere yet, or nothing was heard of it."""

    SKIPPED = "skipped"
    """It needs no images, as it does not run the pods for which they are (`nodeprefetch-deploy --once-for`)."""

    @property
    def words(self) -> str:
        """As it is written for people."""
        return self.value.replace("-", " ")


def node_count(count: int) -> str:
    """`1 node`, `2 nodes`."""
    return "1 node" if count == 1 else f"{count} nodes"


class NodePicture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node on which the installation should run."""

    node: str
    state: NodeState
    why: str = ""
    """What keeps it from being warm, one line without secrets."""

    is_final: bool = False
    """With `FAILED`: repeating what was done cannot help (a missing image, rejected credentials, a full disk)."""

    present: int = 0
    """Images that are on the node."""

    images: int = 0
    """Images of its list; 0 if unknown."""

    missing: tuple[str, ...] | None = None
    """Images of the list of now that are not on the node; None: unknown, as when it has reported another list."""

    final_images: tuple[str, ...] = ()
    """Of `missing`: those because of which `is_final` is true, if it is known which ones these are."""

    done_bytes: int = 0
    total_bytes: int = 0
    rate: int = 0
    """Bytes per second."""

    heard: float | None = None
    """Unix seconds of the latest news; None: never."""

    pod: str = ""


class ImagePicture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image of the list. Only known with an aggregator."""

    image: str
    size: int = 0
    present: int = 0
    """Nodes that have it."""

    missing: int = 0
    digests: int = 0
    """Different digests of its tag on the nodes."""


class Cause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why nodes are not warm: one error of one image, or something about their pods."""

    text: str
    """One line without secrets."""

    nodes: int
    examples: tuple[str, ...]
    """Names of some of these nodes."""

    image: str = ""
    """Empty if it is not about one image."""

    error_class: str = ""
    reason: str = ""
    is_final: bool = False
    advice: str = ""
    """What to do, one line."""

    def names(self, most: int) -> str:
        """Names of some of its nodes: `n1, n2 and 40 more`. Empty if none is known."""
        shown = self.examples[:most]
        more = self.nodes - len(shown)
        return ", ".join(shown) + (f" and {more} more" if shown and more > 0 else "")


class Picture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An installation at one moment."""

    namespace: str
    name: str
    source: str
    """What this was made from, for people: `aggregator (through the API server)`, `node labels and pods`."""

    notes: tuple[str, ...] = ()
    """What is missing in it, and why: one line each."""

    list_digest: str | None = None
    """Of the image list of now; None: it cannot be read, so any list counts."""

    list_images: tuple[str, ...] | None = None
    """The images of the list of now, as written there; None: it cannot be read."""

    list_problems: tuple[str, ...] = ()
    """Why the list of now is invalid: nothing can become warm."""

    is_settled: bool = True
    """False while the API server has not yet acted on the newest DaemonSet, so nodes may be missing here."""

    nodes: tuple[NodePicture, ...] = ()
    """Those that need the images."""

    skipped: tuple[NodePicture, ...] = ()
    """The others."""

    images: tuple[ImagePicture, ...] = ()
    causes: tuple[Cause, ...] = ()
    """Those of the most nodes first."""

    heard: float | None = None
    """Unix seconds of the latest news of any node."""

    seconds_left: int | None = None
    """None: unknown."""

    @property
    def skipped_text(self) -> str:
        """`3 nodes skipped: no pod that matches …`; empty if there are none."""
        if not self.skipped:
            return ""
        return f"{node_count(len(self.skipped))} skipped: {self.skipped[0].why}"

    def count(self, state: NodeState) -> int:
        """Number of nodes in this state."""
        return sum(node.state is state for node in self.nodes)
