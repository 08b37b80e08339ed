"""What may happen to the pull of an image on its way over a line: cases for tests and for `dev/bench bytes`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from nodeprefetch.testing.images import Image, make_image
from tests.support.proxy import Passage

MEBIBYTE = 1024 * 1024


class Victim(Enum):
    """Who is killed (SIGKILL) in mid-pull, and started again."""

    FETCH = auto()
    CONTAINERD = auto()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image of equal layers, and what happens while it is pulled."""

    name: str
    size: int = 200 * MEBIBYTE
    """Bytes of all layers."""

    layers: int = 3
    """All fetched at once: with more than three that would not be so."""

    rate: float = 4 * MEBIBYTE
    """Bytes a second of all layers together, so of each connection a part."""

    limit: str = "3s"
    """Of the first attempt."""

    stalls: int = 0
    """How often all layers stall; connections after that pass everything on."""

    stall_at: float = 0
    """Share of a layer that a connection passes on before it does."""

    killed: Victim | None = None
    """When half of a layer has come over one connection."""

    options: Mapping[str, str] = field(default_factory=dict)
    """More options of `fetch`, without the dashes."""

    @property
    def passage(self) -> Passage:
        """What happens to a connection for as long as there are stalls."""
        if not self.stalls:
            return self.smooth
        stalled = Passage.stall_after(round(self.stall_at * self.layer))
        return replace(stalled, bytes_per_second=self.smooth.bytes_per_second)

    @property
    def smooth(self) -> Passage:
        """What happens to one afterwards."""
        return Passage.drip(self.rate / self.layers)

    @property
    def layer(self) -> int:
        """Bytes of one."""
        return self.size // self.layers

    def image(self) -> Image:
        """The same every time; 200 MB take a second or two."""
        return make_image([self.layer] * self.layers, seed=self.name)

    def scaled(self, *, size: int, rate: float, limit: str = "", **options: str) -> "Case":
        """The same with another image, another line, and other limits."""
        more = {name.replace("_", "-"): value for name, value in options.items()}
        return replace(self, size=size, rate=rate, limit=limit or self.limit, options={**self.options, **more})


STEADY = Case(name="a steady pull")
STALL = Case(name="a stall at 60 %", stalls=1, stall_at=0.6)
FIVE_STALLS = Case(name="five stalls", stalls=5, stall_at=0.15)
EARLY_STALL = Case(name="a stall within the first MiB", stalls=1, stall_at=0.005)
FETCH_KILLED = Case(name="fetch killed at 50 %", killed=Victim.FETCH)
CONTAINERD_KILLED = Case(name="containerd killed at 50 %", killed=Victim.CONTAINERD)

DRIP = Case(name="a drip of 100 KiB/s", size=3600 * 1024, rate=100 * 1024, limit="30s")
"""36 s. As containerd shows the bytes of a layer in steps of 1 MiB, and all three layers come at the same rate, nothing
is seen to come for 31 s."""

SLOW_UNPACK = Case(name="a slow unpack", size=4 * MEBIBYTE, layers=2, rate=32 * MEBIBYTE, limit="2s")
"""For a containerd that takes longer than the limit for each layer (`tests.support.slow_unpack`)."""
