"""Watches the pulls of a run through containerd's own API: reports progress and moves the deadlines of attempts."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice, Progress
from nodeprefetch.pull.deadline import (
    LAYERS_AT_ONCE,
    LOOK_INTERVAL,
    SHORTEST_STRETCHED,
    STEP,
    Deadline,
    slowest_rate,
)
from nodeprefetch.pull.disk import DiskGuard
from nodeprefetch.pull.tracker import LARGEST_MANIFEST, Layers, Observation, Sight, Track, read_layers
from nodeprefetch.runtime.api import ContainerdApi, Ingest, ResourceKind
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, RuntimeTimeoutError, answered_within
from nodeprefetch.settings import AttemptClockKind, FetchSettings
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.sizes import format_rate, format_size

LOOK_TIMEOUT = 10.0
"""Seconds in which containerd must answer all calls of one look."""

_FAILURES = 5
"""Looks that may fail in a row because containerd is unavailable or slow, before progress is given up."""

_SAMPLES = 11
"""Looks over which a rate is averaged: ten seconds, as bytes arrive in steps."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Watched:
    """One attempt in progress."""

    image: str
    attempt_id: str
    lease: str
    deadline: Deadline
    track: Track
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    """Times and bytes, which never decrease."""

    reported: tuple[object, ...] = ()
    _was_known: bool = False

    def rate(self) -> int:
        """Bytes per second. Bytes from before all layers were known, or of another image, do not count."""
        now, done = trio.current_time(), self.track.sight.done
        if not self._was_known or done < self.samples[-1][1]:
            self.samples.clear()
        self._was_known = self.track.is_known
        self.samples.append((now, done))
        began, first = self.samples[0]
        return round((done - first) / (now - began)) if now > began else 0


class ProgressWatch:
    """Looks once a second at all pulls in progress, and only while there are any.

    An error never harms a pull: it is reported once, and attempts are limited by elapsed time from then on.

    Args:
        api: where to look; None: progress is not visible.
        emit: gets `Progress` events.
        settings: of the run.
        disk: asked whether there is room for a pull, whenever more is known of it.
        shares_downloads: whether pulls wait for layers of other pulls (containerd 2).
    """

    def __init__(
        self,
        api: ContainerdApi | None,
        emit: Reader,
        *,
        settings: FetchSettings = FetchSettings(),  # noqa: B008 - frozen
        disk: DiskGuard | None = None,
        shares_downloads: bool = True,
    ) -> None:
        self._api = api
        self._emit = emit
        self._kind = settings.attempt_clock
        self._timeout = settings.retry.first_timeout
        self._disk = disk or DiskGuard()
        self._watched: list[_Watched] = []
        self._tracks: dict[str, Track] = {}
        """By image, of attempts that have ended."""

        self._blobs: dict[str, Layers | None] = {}
        """By digest, so that a look that fails reads none again; None: not a manifest."""

        self._begun = trio.Event()
        self._deadlines: trio.Nursery | None = None
        self._failures = 0
        self._shares_downloads = shares_downloads
        self._offsets: dict[str, int] | None = None
        self._growing: set[str] = set()
        self._is_warned = self._is_hinted = False

    @contextmanager
    def watching(self, image: str, attempt_id: str, lease: str, deadline: Deadline) -> Iterator[None]:
        """Watch an attempt while the block runs.

        Args:
            image: as the user wrote it.
            attempt_id: of this attempt.
            lease: of its pull; empty: none, so that progress is not visible.
            deadline: of the attempt.
        """
        if self._api is None or self._deadlines is None or not lease:
            self._warn("pulls without a lease" if self._api else "pulls of this runtime")
            yield
            return
        self._hint_slowest()
        track = self._tracks.get(image, Track()).begin()
        watched = _Watched(image=image, attempt_id=attempt_id, lease=lease, deadline=deadline, track=track)
        if self._kind is not AttemptClockKind.WALL:
            deadline.follow_progress()
            self._deadlines.start_soon(deadline.run)
        self._watched.append(watched)
        self._begun.set()
        try:
            yield
        finally:
            self._watched.remove(watched)
            self._tracks[image] = watched.track
            deadline.stop()
        complete = watched.track.complete
        if watched.track.sight.done < complete.total:  # also where only an earlier attempt was looked at
            self._report_progress(watched, complete, rate=0)

    def sight(self, image: str) -> Sight:
        """How far an image's pull is, as last seen."""
        watched = next((one for one in self._watched if one.image == image), None)
        return (watched.track if watched else self._tracks.get(image, Track())).sight

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at pulls until cancelled, or until progress is given up.

        Attempts that begin before it has started are not watched.
        """
        async with trio.open_nursery() as self._deadlines:
            task_status.started()
            while self._api is not None:
                if not self._watched:
                    self._begun = trio.Event()
                    await self._begun.wait()
                next_look = trio.current_time() + LOOK_INTERVAL
                await self._look_once(self._api)
                await trio.sleep_until(max(next_look, trio.current_time()))

    async def _look_once(self, api: ContainerdApi) -> None:
        held = [watched.deadline for watched in self._watched]
        for deadline in held:
            deadline.hold(LOOK_TIMEOUT)
        try:
            with answered_within(LOOK_TIMEOUT):
                await self._look(api)
            self._failures = 0
        except RuntimeTimeoutError as error:
            self._failures += 1
            for deadline in held:
                deadline.extend(LOOK_TIMEOUT)
            if self._failures == _FAILURES:
                self._give_up(f"{error}, {_FAILURES} times in a row")
        except RuntimeFaultError as error:
            self._failures += 1
            if error.fault.kind is not FaultClass.RUNTIME_GONE or self._failures == _FAILURES:
                self._give_up(str(error))
        finally:
            for deadline in held:
                deadline.release()

    async def _look(self, api: ContainerdApi) -> None:
        ingests = {ingest.ref: ingest for ingest in await api.ingests()}
        observed = [
            (watched, await self._observe(api, watched.lease, watched.track, ingests))
            for watched in tuple(self._watched)
        ]
        self._take(ingests, observed)

    async def _observe(
        self, api: ContainerdApi, lease: str, track: Track, ingests: Mapping[str, Ingest]
    ) -> Observation:
        """Gather all that an update of the track needs, with as few calls as possible."""
        observation = Observation(ingests=ingests)
        if not track.wants_resources(ingests):
            return observation
        resources = await api.lease_resources(lease)
        if resources is None:
            observation = replace(observation, is_lease_gone=True)
        else:
            manifests: dict[str, Layers | None] = {}
            for digest in sorted(held.id for held in resources if held.kind is ResourceKind.CONTENT):
                if track.may_be_manifest(digest, manifests) and await self._read(api, digest):
                    manifests[digest] = self._blobs[digest]
            observation = replace(observation, resources=frozenset(resources), manifests=manifests)
        layers = {
            digest: await api.blob_size(digest) is not None for digest in track.learn(observation).unchecked(ingests)
        }
        return replace(observation, layers=layers)

    async def _read(self, api: ContainerdApi, digest: str) -> bool:
        """Whether the blob was read, now or before. False: it was just deleted."""
        if digest in self._blobs:
            return True
        size = await api.blob_size(digest)
        if size is not None and size > LARGEST_MANIFEST:  # a layer of a resumed pull: reading it would take seconds
            self._blobs[digest] = None
            return True
        blob = await api.read_blob(digest, most=LARGEST_MANIFEST)
        if blob is None:
            return False
        self._blobs[digest] = read_layers(blob)
        return True

    def _take(self, ingests: Mapping[str, Ingest], observed: Sequence[tuple[_Watched, Observation]]) -> None:
        before = self._offsets
        # A new ingest counts as growing: small layers are complete before any look sees them grow.
        grown = {ref for ref, one in ingests.items() if before is not None and one.offset > before.get(ref, -1)}
        self._growing = (self._growing | grown) & ingests.keys()
        self._offsets = {ref: one.offset for ref, one in ingests.items()}
        unpacked = False
        for watched, observation in observed:
            track = watched.track.update(observation)
            unpacked |= bool(track.snapshots - watched.track.snapshots)
            watched.track = track
        for watched, observation in observed:
            if watched not in self._watched:
                continue
            track = watched.track
            if observation.is_lease_gone and not track.is_known:
                watched.deadline.use_elapsed_time()
            moved = track.moved or self._waits_for_others(track, ingests, grown, unpacked=unpacked)
            watched.deadline.saw(track.sight, moved=moved)
            self._report_progress(watched, track.sight, rate=watched.rate())

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

    def _report_progress(self, watched: _Watched, sight: Sight, *, rate: int) -> None:
        now = (sight.phase, sight.done, sight.total, rate)
        if now == watched.reported:
            return
        watched.reported = now
        self._emit(
            Progress(
                attempt_id=watched.attempt_id,
                image=watched.image,
                phase=sight.phase,
                done_bytes=sight.done,
                total_bytes=sight.total,
                rate=rate,
            )
        )
        self._disk.saw(watched.image, sight)

    def _give_up(self, error: str) -> None:
        self._api = None
        for watched in self._watched:
            watched.deadline.use_elapsed_time()
        text = f"progress reporting lost, attempt timeouts now use elapsed time: {error}"
        self._emit(Notice(message=text))

    def _hint_slowest(self) -> None:
        if self._timeout >= SHORTEST_STRETCHED or self._kind is AttemptClockKind.WALL or self._is_hinted:
            return
        self._is_hinted = True
        slowest = slowest_rate(self._timeout)
        which = f"slower than {format_rate(slowest)}" if math.isfinite(slowest) else "of any rate"
        text = (
            f"with an initial attempt timeout of {format_duration(self._timeout)}, pulls {which} may be mistaken for "
            f"stalled (progress resolution is {format_size(STEP)})"
        )
        self._emit(Notice(message=text, is_warning=False))

    def _warn(self, which: str) -> None:
        if self._kind is AttemptClockKind.PROGRESS and not self._is_warned:
            self._is_warned = True
            text = f"no progress reporting for {which}, attempt timeouts use elapsed time"
            self._emit(Notice(message=text))
