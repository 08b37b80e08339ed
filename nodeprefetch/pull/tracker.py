"""How far one pull is, from containerd's leases and ingests and the image's manifest. Pure: no I/O, no time."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from nodeprefetch.events import Phase
from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind

LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes. Registries should accept manifests up to this size (OCI distribution specification)."""

_LARGEST_TOTAL = 2**63 - 1
"""Bytes. Events cannot carry more; containerd refuses such a manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """The blobs that one manifest lists."""

    sizes: Mapping[str, int]
    """Bytes of each layer by digest, as transferred. A layer listed twice is fetched once."""

    config: str
    """Digest of the config; empty: none."""

    @property
    def total(self) -> int:
        """Bytes of all layers."""
        return sum(self.sizes.values())

    def __contains__(self, digest: str) -> bool:
        return digest in self.sizes or digest == self.config


class _Descriptor(msgspec.Struct):
    digest: str
    size: int = 0


class _Manifest(msgspec.Struct):
    layers: list[_Descriptor]
    config: _Descriptor | None = None


_decode = msgspec.json.Decoder(_Manifest).decode


def read_layers(blob: bytes) -> Layers | None:
    """Read the layers of a manifest; None: the blob is something else (an index, a config, a layer, garbage)."""
    try:
        manifest = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # RecursionError: nested a thousand times
        return None
    layers = Layers(
        sizes={layer.digest: max(layer.size, 0) for layer in manifest.layers},
        config=manifest.config.digest if manifest.config else "",
    )
    return layers if layers.total <= _LARGEST_TOTAL else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What containerd reported about one pull in one look."""

    ingests: Mapping[str, Ingest]
    """All of the node, by reference."""

    resources: frozenset[Resource] | None = None
    """Of the pull's lease; None: not requested, or the lease does not exist."""

    is_lease_gone: bool = False
    """The lease does not exist any more."""

    manifests: Mapping[str, Layers | None] = field(default_factory=dict)
    """Blobs read in this look, in this order, by digest; None: not a manifest."""

    layers: Mapping[str, bool] = field(default_factory=dict)
    """Whether containerd has the layers it was asked for, by digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """How far a pull is."""

    phase: Phase = Phase.RESOLVING
    done: int = 0
    """Bytes of layers on the node. Never decreases, unless the name now stands for another image."""

    total: int = 0
    """Bytes of all layers; 0: not known yet."""

    active: int = 0
    """How many of its blobs containerd is fetching, or is about to fetch."""

    may_fetch: bool = True
    """False: it may be waiting for the node alone."""

    is_unseen: bool = False
    """Nothing of it is visible, whether it moves or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """What is known of an image's pull. `update` returns the next one; `begin` the one for the next attempt."""

    sight: Sight = field(default_factory=Sight)
    manifests: Mapping[str, Layers | None] = field(default_factory=dict)
    """Blobs read so far, by digest, in the order read; None: not a manifest."""

    current: str = ""
    """Digest of the manifest that is pulled; empty: not known yet."""

    held: frozenset[Resource] | None = None
    """Resources of the lease, as last listed."""

    ingested: Mapping[str, int] = field(default_factory=dict)
    """Sizes of layers by digest, as their ingests reported them. Used until there is a manifest."""

    # Of the current attempt alone:

    moved: bool = False
    """Something moved since the observation before. The first observation of an attempt is never movement."""

    has_moved: bool = False
    """Something moved in this attempt."""

    offsets: Mapping[str, int] | None = None
    """Of its ingests, by reference; None: not observed yet."""

    growing: frozenset[str] = frozenset()
    """References of ingests that grew."""

    committed: frozenset[str] = frozenset()
    """Digests of blobs that are complete."""

    checked: frozenset[str] = frozenset()
    """Digests of layers that containerd was asked for."""

    arrived: str = ""
    """The manifest that came after the first observation."""

    is_resumed: bool = False
    """At the first observation there were bytes of ingests."""

    def begin(self) -> "Track":
        """Start another attempt: data on the node may have been removed, and finding the rest is not progress."""
        return Track(
            sight=replace(self.sight, phase=Phase.RESOLVING, active=0, may_fetch=True),
            manifests=self.manifests,
            current=self.current,
            held=self.held,
            ingested=self.ingested,
        )

    def update(self, observation: Observation) -> "Track":
        """Take in one observation."""
        learned = self.learn(observation)
        own = learned.own(observation.ingests)
        offsets = {ref: ingest.offset for ref, ingest in own.items()}
        present = {digest for digest, is_present in observation.layers.items() if is_present}
        moved, grown = False, set[str]()
        if self.offsets is not None:
            before = self.offsets
            grown = {ref for ref, offset in offsets.items() if offset > before.get(ref, offset)}
            held_more = self.held is not None and learned.held is not None and bool(learned.held - self.held)
            moved = bool(grown or offsets.keys() - before.keys() or held_more or present - learned.committed)
        layers = {_digest(ref): ingest.total for ref, ingest in own.items() if ref.startswith("layer-")}
        track = replace(
            learned,
            ingested={**self.ingested, **layers},
            moved=moved,
            has_moved=self.has_moved or moved,
            offsets=offsets,
            growing=self.growing | grown,
            committed=learned.committed | present,
            # When the ingest of a checked layer has gone, the layer is complete, or was given up: it is checked again.
            checked=(learned.checked - _digests(own)) | observation.layers.keys(),
            is_resumed=any(offsets.values()) if self.offsets is None else self.is_resumed,
        )
        return replace(track, sight=_sight(track, own))

    def learn(self, observation: Observation) -> "Track":
        """Add only the lease's resources and the manifests, which determine the further queries."""
        if observation.resources is None:
            return self
        read, arrived = {**observation.manifests}, self.arrived
        if self.offsets is not None:
            arrived = next((each for each in reversed(read) if read[each]), arrived)
        track = replace(
            self,
            held=observation.resources,
            manifests={**self.manifests, **read},
            committed=self.committed | _ids(observation.resources, ResourceKind.CONTENT),
            arrived=arrived,
        )
        current = _current(track)
        if self.current and current != self.current:
            return replace(track, current=current, sight=Sight(), checked=frozenset())
        return replace(track, current=current)

    @property
    def is_known(self) -> bool:
        """Its manifest was read."""
        return bool(self.current)

    @property
    def complete(self) -> Sight:
        """The sight once the pull has succeeded."""
        return replace(self.sight, phase=Phase.UNPACKING, done=self.sight.total or self.sight.done, active=0)

    @property
    def snapshots(self) -> frozenset[str]:
        """IDs of what is unpacked, or being unpacked."""
        return self.held_ids(ResourceKind.SNAPSHOT)

    def own(self, ingests: Mapping[str, Ingest]) -> dict[str, Ingest]:
        """Select the ingests that bring this image something, also those that another image's pull began.

        Args:
            ingests: all of the node, by reference.
        """
        leased = self.held_ids(ResourceKind.INGEST)
        layers = self.layers
        wanted = {*layers.sizes, layers.config} if layers else set[str]()
        return {ref: ingest for ref, ingest in ingests.items() if ref in leased or _digest(ref) in wanted}

    def is_waiting(self, ingests: Mapping[str, Ingest]) -> bool:
        """Whether none of its ingests has grown: it may be waiting for other pulls to end."""
        return self.sight.phase is not Phase.UNPACKING and not self.growing & self.own(ingests).keys()

    def wants_resources(self, ingests: Mapping[str, Ingest]) -> bool:
        """Whether the lease's resources are needed: the picture changed, or is not known.

        Where bytes were there before the attempt and no more have come, they may belong to another image, which the
        name stood for then.
        """
        own = self.own(ingests)
        return (
            not self.current
            or not own
            or (self.is_resumed and not self.growing & own.keys())
            or self.sight.phase is not Phase.DOWNLOADING
            or own.keys() != (self.offsets or {}).keys()
        )

    def may_be_manifest(self, digest: str, read: Mapping[str, Layers | None]) -> bool:
        """Whether a blob must be read: it was not, and no manifest lists it as a layer or config.

        Args:
            digest: of the blob.
            read: blobs read in this look.
        """
        return not any(
            digest in blobs or any(layers is not None and digest in layers for layers in blobs.values())
            for blobs in (self.manifests, read)
        )

    def unchecked(self, ingests: Mapping[str, Ingest]) -> Collection[str]:
        """Digests of layers that may be complete already: containerd is asked for each once."""
        layers = self.layers
        if layers is None:
            return ()
        known = self.committed | self.checked | _digests(ingests)
        return [each for each in layers.sizes if each not in known]

    @property
    def layers(self) -> Layers | None:
        """Of the manifest that is pulled; None: not known yet."""
        return self.manifests.get(self.current)

    def held_ids(self, kind: ResourceKind) -> frozenset[str]:
        """IDs of the lease's resources of one kind."""
        return _ids(self.held or (), kind)


def _current(track: Track) -> str:
    """Of several manifests, left by a name that has moved, the one that came in this attempt.

    Where none did, the one whose layers have come, else are being fetched; else the newest. Ingests of the others
    may stay for ever.
    """
    content = track.held_ids(ResourceKind.CONTENT)
    found = {
        digest: layers.sizes.keys()
        for digest, layers in track.manifests.items()
        if layers is not None and digest in content
    }
    if not found:
        return track.current
    if track.arrived in found:
        return track.arrived
    for active in (_digests(track.growing), _digests(track.held_ids(ResourceKind.INGEST))):
        busy = [digest for digest, layers in found.items() if active & layers]
        if busy:
            return busy[-1]
    return [*found][-1]


def _sight(track: Track, own: Mapping[str, Ingest]) -> Sight:
    layers = track.layers
    sizes = layers.sizes if layers else track.ingested
    active = {_digest(ref): ingest.offset for ref, ingest in own.items()}
    done = sum(size if each in track.committed else min(active.get(each, 0), size) for each, size in sizes.items())
    if layers is not None and sizes.keys() <= track.committed:
        phase = Phase.UNPACKING
    else:
        phase = Phase.DOWNLOADING if own or layers else Phase.RESOLVING
    return Sight(
        phase=phase,
        done=max(done, track.sight.done),
        total=layers.total if layers else 0,
        active=len(own),
        # Containerd opens an ingest before it requests the blob. Without one it does not wait for the registry.
        may_fetch=phase is not Phase.UNPACKING and bool(own or not track.has_moved),
    )


def _ids(resources: Iterable[Resource], kind: ResourceKind) -> frozenset[str]:
    return frozenset(resource.id for resource in resources if resource.kind is kind)


def _digests(refs: Iterable[str]) -> set[str]:
    return {_digest(ref) for ref in refs}


def _digest(ref: str) -> str:
    """`sha256:…` of `layer-sha256:…`."""
    return ref.partition("-")[2]
