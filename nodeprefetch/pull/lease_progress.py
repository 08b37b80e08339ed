"""The progress of pulls on containerd, from the ingests of the node and the leases of the pulls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodeprefetch.pull.deadline import LAYERS_AT_ONCE, STEP
from nodeprefetch.pull.progress_source import LOOK_INTERVAL, Seen
from nodeprefetch.pull.tracker import LARGEST_MANIFEST, Layers, Observation, Sight, Track, read_layers
from nodeprefetch.runtime.api import ContainerdApi, Ingest, ResourceKind


@dataclass(kw_only=True, slots=True, eq=False)
class _Leased:
    """One pull in progress."""

    image: str
    lease: str
    track: Track = field(default_factory=Track)


class LeaseProgress:
    """Sees all pulls that have a lease, in one look.

    Args:
        api: where to look.
        shares_downloads: whether pulls wait for layers of other pulls (containerd 2).
    """

    step = STEP
    interval = LOOK_INTERVAL

    def __init__(self, api: ContainerdApi, *, shares_downloads: bool = True) -> None:
        self._api = api
        self._shares_downloads = shares_downloads
        self._leased: dict[str, _Leased] = {}
        self._tracks: dict[str, Track] = {}
        """By image, of attempts that have ended."""

        self._blobs: dict[str, Layers | None] = {}
        """By digest, so that a look that fails reads none again; None: not a manifest."""

        self._offsets: dict[str, int] | None = None
        self._growing: set[str] = set()

    def shows(self, lease: str) -> bool:
        """Whether the progress of a pull with that lease is visible; empty: it has none."""
        return bool(lease)

    async def begin(self, attempt_id: str, image: str, lease: str) -> None:
        """Prepare for a pull."""
        track = self._tracks.get(image, Track()).begin()
        self._leased[attempt_id] = _Leased(image=image, lease=lease, track=track)

    def end(self, attempt_id: str) -> Sight:
        """Forget a pull. Returns its sight, should it have succeeded."""
        leased = self._leased.pop(attempt_id)
        self._tracks[leased.image] = leased.track
        return leased.track.complete

    def sight(self, image: str) -> Sight:
        """How far an image's pull is, as last seen."""
        leased = next((one for one in self._leased.values() if one.image == image), None)
        return (leased.track if leased else self._tracks.get(image, Track())).sight

    async def look(self) -> Mapping[str, Seen]:
        """Look once. A look that fails changes nothing.

        Raises:
            RuntimeFaultError: containerd's API returned an error, or is unavailable.
        """
        ingests = {ingest.ref: ingest for ingest in await self._api.ingests()}
        observed = [
            (attempt_id, leased, await self._observe(leased.lease, leased.track, ingests))
            for attempt_id, leased in tuple(self._leased.items())
        ]
        return self._take(ingests, observed)

    async def _observe(self, lease: str, track: Track, ingests: Mapping[str, Ingest]) -> Observation:
        """Gather all that an update of the track needs, with as few calls as possible."""
        observation = Observation(ingests=ingests)
        if not track.wants_resources(ingests):
            return observation
        resources = await self._api.lease_resources(lease)
        if resources is None:
            observation = replace(observation, is_lease_gone=True)
        else:
            manifests: dict[str, Layers | None] = {}
            for digest in sorted(held.id for held in resources if held.kind is ResourceKind.CONTENT):
                if track.may_be_manifest(digest, manifests) and await self._read(digest):
                    manifests[digest] = self._blobs[digest]
            observation = replace(observation, resources=frozenset(resources), manifests=manifests)
        layers = {
            digest: await self._api.blob_size(digest) is not None
            for digest in track.learn(observation).unchecked(ingests)
        }
        return replace(observation, layers=layers)

    async def _read(self, digest: str) -> bool:
        """Whether the blob was read, now or before. False: it was just deleted."""
        if digest in self._blobs:
            return True
        size = await self._api.blob_size(digest)
        if size is not None and size > LARGEST_MANIFEST:  # a layer of a resumed pull: reading it would take seconds
            self._blobs[digest] = None
            return True
        blob = await self._api.read_blob(digest, most=LARGEST_MANIFEST)
        if blob is None:
            return False
        self._blobs[digest] = read_layers(blob)
        return True

    def _take(
        self, ingests: Mapping[str, Ingest], observed: Sequence[tuple[str, _Leased, Observation]]
    ) -> Mapping[str, Seen]:
        before = self._offsets
        # A new ingest counts as growing: small layers are complete before any look sees them grow.
        grown = {ref for ref, one in ingests.items() if before is not None and one.offset > before.get(ref, -1)}
        self._growing = (self._growing | grown) & ingests.keys()
        self._offsets = {ref: one.offset for ref, one in ingests.items()}
        unpacked = False
        for _, leased, observation in observed:
            track = leased.track.update(observation)
            unpacked |= bool(track.snapshots - leased.track.snapshots)
            leased.track = track
        return {
            attempt_id: Seen(
                sight=leased.track.sight,
                moved=leased.track.moved or self._waits_for_others(leased.track, ingests, grown, unpacked=unpacked),
                is_counted=leased.track.is_known,
                is_lost=observation.is_lease_gone and not leased.track.is_known,
            )
            for attempt_id, leased, observation in observed
        }

    def _waits_for_others(
        self, track: Track, ingests: Mapping[str, Ingest], grown: set[str], *, unpacked: bool
    ) -> bool:
        """Whether movement of other pulls counts as its own, as containerd makes it wait for them.

        Only while containerd fetches as many layers as it can, none of them for this image. Otherwise this pull has a
        place of its own, and is stalled there.
        """
        if not track.sight.may_fetch:
            return unpacked
        if not self._shares_downloads or not track.is_waiting(ingests):
            return False
        others = self._growing - track.own(ingests).keys()
        return len(others) >= LAYERS_AT_ONCE and bool(grown & others)
