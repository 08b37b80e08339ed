"""The progress of one pull, from containerd's leases and ingests and the image's manifest. No I/O."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from nodeprefetch.events import Phase
from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind

LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes. Registries are to take manifests up to this size (OCI distribution specification)."""

_LARGEST_TOTAL = 2**63 - 1
"""Bytes. Events cannot carry more, and no registry has it: containerd refuses such a manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """The blobs that one manifest wants."""

    sizes: Mapping[str, int]
    """Bytes of each layer by its digest, as it is transferred. A layer that is there twice is fetched once."""

    config: str
    """Digest of the config; empty when there is none."""

    @property
    def total(self) -> int:
        """Bytes of all layers."""
        return sum(self.sizes.values())


class _Descriptor(msgspec.Struct):
    digest: str
    size: int = 0


class _Manifest(msgspec.Struct):
    layers: list[_Descriptor]
    config: _Descriptor | None = None


_decode = msgspec.json.Decoder(_Manifest).decode


def read_layers(blob: bytes) -> Layers | None:
    """The layers of a manifest; None where the blob is not one: an index, a config, a layer, nonsense."""
    try:
        manifest = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last one: nested a thousand times
        return None
    layers = Layers(
        sizes={layer.digest: max(layer.size, 0) for layer in manifest.layers},
        config=manifest.config.digest if manifest.config else "",
    )
    return layers if layers.total <= _LARGEST_TOTAL else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """How far a pull is."""

    phase: Phase = Phase.RESOLVING
    done: int = 0
    """Bytes of layers that are there. Never less than before, unless the name has come to stand for another image."""

    total: int = 0
    """Bytes of all layers; 0: not known yet."""

    on_their_way: int = 0
    """How many blobs of it containerd is fetching, or wants to."""

    may_fetch: bool = True
    """False: nothing can be on its way over the network, so that it is the node itself that is waited for."""


class PullView:
    """What is known of an image, over all attempts of a run.

    For each look: `wants_resources`, then `hold` and `unread`/`read`, `unasked`/`commit` where it does, then `look`.
    """

    def __init__(self) -> None:
        self.sight = Sight()
        self._manifests: dict[str, Layers | None] = {}
        """What was read, by digest; None: no manifest."""

        self._current = ""
        self._held: frozenset[Resource] | None = None
        self._committed: set[str] = set()
        self._asked: set[str] = set()
        self._seen: dict[str, int] = {}
        """Layers on their way, for as long as there is no manifest: digest and size."""

        self._offsets: dict[str, int] | None = None
        self._moving: set[str] = set()
        """References of ingests that grew in this attempt."""

        self._has_moved = False
        self._arrived = ""
        """The manifest that came in this attempt, after its first look."""

        self._goes_on = False
        """At the first look of this attempt there were bytes of ingests."""

        self._news = False

    def begin(self) -> None:
        """Another attempt. What is there is seen anew, as some of it may be gone, and is no movement."""
        self._moving.clear()
        self._committed.clear()
        self._asked.clear()
        self._offsets = None
        self._arrived = ""
        self._has_moved = self._goes_on = self._news = False
        self.sight = replace(self.sight, phase=Phase.RESOLVING, on_their_way=0, may_fetch=True)

    @property
    def is_known(self) -> bool:
        """Its manifest was read."""
        return bool(self._current)

    def own(self, ingests: Mapping[str, Ingest]) -> dict[str, Ingest]:
        """The ingests that bring this image something, also those that another image's pull has begun.

        Args:
            ingests: all of them, by reference.
        """
        leased = {held.id for held in self._held or () if held.kind is ResourceKind.INGEST}
        layers = self._layers
        wanted = {*layers.sizes, layers.config} if layers else set()
        return {ref: one for ref, one in ingests.items() if ref in leased or _digest(ref) in wanted}

    def is_waiting(self, ingests: Mapping[str, Ingest]) -> bool:
        """Nothing of this image has come in its ingests: it may be waiting for others to end."""
        return self.sight.phase is not Phase.UNPACKING and not self._moving & self.own(ingests).keys()

    def wants_resources(self, ingests: Mapping[str, Ingest]) -> bool:
        """Whether the lease's resources have to be looked at: the picture changed, or is not known.

        Where bytes were there before the attempt and no more have come, they may be those of another image, which the
        name stood for then.
        """
        own = self.own(ingests)
        return (
            not self._current
            or not own
            or (self._goes_on and not self._moving & own.keys())
            or self.sight.phase is not Phase.DOWNLOADING
            or own.keys() != (self._offsets or {}).keys()
        )

    def hold(self, held: Collection[Resource]) -> None:
        """These are the lease's resources."""
        now = frozenset(held)
        if self._held is not None and now - self._held:
            self._news = True
        self._held = now
        self._committed |= self._content
        self._choose()

    def unread(self) -> Iterator[str]:
        """Digests of blobs that may be its manifest, each to be given to `read` before the next is asked for."""
        for digest in sorted(self._content):
            layers = self._layers
            if digest not in self._manifests and not (layers and digest in {*layers.sizes, layers.config}):
                yield digest

    def read(self, digest: str, blob: bytes | None) -> None:
        """This is in that blob; None: it is too large for a manifest."""
        self._manifests[digest] = layers = read_layers(blob) if blob else None
        if layers and self._offsets is not None:
            self._arrived = digest
        self._choose()

    def unasked(self, ingests: Mapping[str, Ingest]) -> Collection[str]:
        """Digests of layers of which it has to be asked whether they are there already. Asked once."""
        layers = self._layers
        if layers is None:
            return ()
        under_way = {_digest(ref) for ref in ingests}
        self._asked -= under_way  # when such an ingest has gone, its layer is there, or was given up
        found = [each for each in layers.sizes if each not in self._committed | self._asked | under_way]
        self._asked.update(found)
        return found

    def commit(self, digest: str) -> None:
        """That layer is there."""
        if digest not in self._committed:
            self._committed.add(digest)
            self._news = True

    def look(self, ingests: Mapping[str, Ingest]) -> bool:
        """Take in where the ingests are. Returns whether anything moved since the look before.

        The first look of an attempt knows no look before, and is no movement.
        """
        own = self.own(ingests)
        self._seen.update({_digest(ref): one.total for ref, one in own.items() if ref.startswith("layer-")})
        before = self._offsets
        self._offsets = {ref: one.offset for ref, one in own.items()}
        news, self._news = self._news, False
        grown, begun = set[str](), set[str]()
        if before is None:
            self._goes_on = any(self._offsets.values())
        else:
            grown = {ref for ref, offset in self._offsets.items() if offset > before.get(ref, offset)}
            begun = self._offsets.keys() - before.keys()
        moved = before is not None and bool(grown or begun or news)
        self._moving |= grown
        self._has_moved |= moved
        self.sight = self._picture(own)
        return moved

    def complete(self) -> Sight:
        """The pull has succeeded: all of it is there."""
        return replace(self.sight, phase=Phase.UNPACKING, done=self.sight.total or self.sight.done, on_their_way=0)

    @property
    def snapshots(self) -> frozenset[Resource]:
        """What is unpacked, or being unpacked."""
        return frozenset(held for held in self._held or () if held.kind is ResourceKind.SNAPSHOT)

    @property
    def _content(self) -> set[str]:
        return {held.id for held in self._held or () if held.kind is ResourceKind.CONTENT}

    @property
    def _layers(self) -> Layers | None:
        return self._manifests.get(self._current)

    def _choose(self) -> None:
        """Of several manifests, left by a name that has moved, the one that came in this attempt.

        Where none did, the one whose layers have come, else are under way; else the newest. Ingests of the others may
        be under way for ever.
        """
        found = {
            digest: layers.sizes.keys()
            for digest, layers in self._manifests.items()
            if layers is not None and digest in self._content
        }
        if not found:
            return
        came = {_digest(ref) for ref in self._moving}
        leased = {_digest(held.id) for held in self._held or () if held.kind is ResourceKind.INGEST}
        busy = [digest for digest, layers in found.items() if came & layers] or [
            digest for digest, layers in found.items() if leased & layers
        ]
        current = self._arrived if self._arrived in found else (busy or [*found])[-1]
        if self._current and current != self._current:
            self.sight = Sight()
            self._asked.clear()
        self._current = current

    def _picture(self, own: Mapping[str, Ingest]) -> Sight:
        layers = self._layers
        sizes = layers.sizes if layers else self._seen
        under_way = {_digest(ref): one.offset for ref, one in own.items()}
        done = sum(
            size if each in self._committed else min(under_way.get(each, 0), size) for each, size in sizes.items()
        )
        total = layers.total if layers else 0
        if layers is not None and sizes.keys() <= self._committed:
            phase = Phase.UNPACKING
        else:
            phase = Phase.DOWNLOADING if own or layers else Phase.RESOLVING
        # Containerd opens an ingest before it asks the registry for the blob: where there is none, it waits for itself.
        may_fetch = phase is not Phase.UNPACKING and bool(own or not self._has_moved)
        return Sight(
            phase=phase,
            done=max(done, self.sight.done),
            total=total,
            on_their_way=len(own),
            may_fetch=may_fetch,
        )


def _digest(ref: str) -> str:
    """`sha256:…` of `layer-sha256:…`."""
    return ref.partition("-")[2]
