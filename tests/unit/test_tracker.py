"""What leases and ingests say of a pull: never backwards, and the true total at the end."""

import json
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.events import Phase
from nodeprefetch.pull.tracker import Layers, Observation, Sight, Track, read_layers
from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind

LAYERS = {"sha256:a": 1_000, "sha256:b": 70_000, "sha256:c": 5_000_000, "sha256:d": 0}
TOTAL = 5_071_000
MANIFEST = json.dumps(
    {
        "layers": [{"digest": digest, "size": size} for digest, size in LAYERS.items()],
        "config": {"digest": "sha256:config"},
    }
).encode()
OTHER = b'{"layers": [{"digest": "sha256:z", "size": 50}]}'


def content(*digests: str) -> list[Resource]:
    return [Resource(kind=ResourceKind.CONTENT, id=digest) for digest in digests]


def ingests(**offsets: int) -> dict[str, Ingest]:
    found = {}
    for name, offset in offsets.items():
        digest = f"sha256:{name}"
        found[f"layer-{digest}"] = Ingest(ref=f"layer-{digest}", offset=offset, total=LAYERS.get(digest, 0))
    return found


def seen(
    track: Track,
    held: Iterable[Resource] | None = None,
    blobs: Mapping[str, bytes] = {},
    layers: Mapping[str, bool] = {},
    **offsets: int,
) -> Track:
    """The track after one observation: where ingests are, and perhaps what the lease holds, and what was read."""
    read: dict[str, Layers | None] = {digest: read_layers(blob) for digest, blob in blobs.items()}
    return track.update(
        Observation(
            ingests=ingests(**offsets),
            resources=None if held is None else frozenset(held),
            manifests=read,
            layers=layers,
        )
    )


def known() -> Track:
    """At the beginning of an attempt after one that read the manifest."""
    return seen(Track(), content("sha256:m"), {"sha256:m": MANIFEST}).begin()


def moves(track: Track, *offsets: dict[str, int]) -> tuple[list[bool], Track]:
    found = []
    for each in offsets:
        track = seen(track, **each)
        found.append(track.moved)
    return found, track


def test_at_first_nothing_is_known():
    assert Track().wants_resources({})

    track = seen(Track())

    assert not track.moved
    assert Sight(phase=Phase.RESOLVING, done=0, total=0) == track.sight


def test_bytes_are_those_of_complete_layers_and_what_has_come_of_the_others():
    track = seen(known(), layers={"sha256:a": True}, b=10_000, c=2_000_000)

    assert Sight(phase=Phase.DOWNLOADING, done=2_011_000, total=TOTAL, active=2) == track.sight


def test_the_first_look_is_no_movement_and_an_offset_that_grows_is_one():
    found, _ = moves(known(), {"c": 524_288}, {"c": 524_288}, {"c": 1_048_576}, {"c": 0})

    assert [False, False, True, False] == found


def test_an_ingest_that_begins_anew_moves_though_the_bytes_shown_stay():
    """1 MiB was there; the registry does not know Range, and it begins at 0."""
    found, track = moves(known(), {"c": 0}, {"c": 1_048_576}, {"c": 0}, {"c": 524_288})

    assert [False, True, False, True] == found
    assert 1_048_576 == track.sight.done


def test_an_ingest_that_appears_is_movement():
    assert ([False, True]) == moves(known(), {"b": 0}, {"b": 0, "c": 0})[0]


def test_a_layer_that_turns_out_to_be_complete_is_movement():
    track = seen(known(), b=0)

    assert not seen(track, layers={"sha256:a": False}, b=0).moved
    assert seen(track, layers={"sha256:a": True}, b=0).moved


def test_the_ingest_of_another_images_pull_counts_when_it_is_a_layer_of_this_one():
    assert {"layer-sha256:c"} == known().own(ingests(c=5, x=7)).keys()


def test_an_ingest_of_the_lease_counts_before_the_manifest_is_known():
    track = seen(Track(), [Resource(kind=ResourceKind.INGEST, id="layer-sha256:c")], c=600_000)

    assert Sight(phase=Phase.DOWNLOADING, done=600_000, total=0, active=1) == track.sight


def test_once_all_layers_are_there_the_image_is_being_unpacked():
    track = seen(seen(known(), c=0), content("sha256:m", *LAYERS))

    assert track.moved
    assert Sight(phase=Phase.UNPACKING, done=TOTAL, total=TOTAL, may_fetch=False) == track.sight


def test_a_new_snapshot_is_movement():
    track = seen(known(), content("sha256:m", *LAYERS))
    snapshot = Resource(kind=ResourceKind.SNAPSHOT, id="extract-1 sha256:x")
    unpacking = seen(track, [*content("sha256:m", *LAYERS), snapshot])

    assert [True, False] == [unpacking.moved, seen(unpacking).moved]
    assert {"extract-1 sha256:x"} == unpacking.snapshots


def test_without_an_ingest_and_after_it_has_begun_nothing_can_come_over_the_network():
    """Layers whose snapshots are there are not fetched, so that their bytes never come."""
    before = seen(known())
    during = seen(before, b=0)

    assert [True, True, False] == [track.sight.may_fetch for track in (before, during, seen(during))]


def test_another_attempt_may_wait_for_the_registry_again():
    track = seen(seen(seen(known()), b=100).begin())

    assert not track.moved
    assert track.sight.may_fetch
    assert 100 == track.sight.done


def test_what_was_collected_between_two_attempts_is_on_its_way_again():
    """All was there; then the lease was gone, and with it what it held. What is shown stays."""
    before = seen(known(), content("sha256:m", *LAYERS))
    track = seen(before.begin(), [], c=0)

    assert [Phase.UNPACKING, Phase.DOWNLOADING] == [before.sight.phase, track.sight.phase]
    assert track.sight.may_fetch
    assert TOTAL == track.sight.done
    assert seen(track, c=524_288).moved


def test_a_pull_waits_as_long_as_none_of_its_ingests_grows_in_this_attempt():
    waiting = seen(known(), b=100)
    growing = seen(waiting, b=200)

    assert waiting.is_waiting(ingests(b=100))
    assert not growing.is_waiting(ingests(b=200))
    assert not seen(growing, b=200).is_waiting(ingests(b=200))
    assert growing.begin().is_waiting(ingests(b=200))


def test_it_is_asked_once_whether_a_layer_is_there_and_again_when_its_ingest_has_gone():
    track = known()
    asked = []
    for offsets in ({"b": 5}, {}, {}, {"a": 1}, {}):
        found = track.unchecked(ingests(**offsets))
        asked.append(set(found))
        track = seen(track, layers=dict.fromkeys(found, False), **offsets)

    assert [{"sha256:a", "sha256:d", "sha256:c"}, {"sha256:b"}, set(), set(), {"sha256:a"}] == asked
    assert () == Track().unchecked({})


def test_while_the_picture_stays_resources_are_not_looked_at():
    track = seen(known(), b=0)

    assert not track.wants_resources(ingests(b=50))
    assert track.wants_resources(ingests(b=50, c=0))
    assert track.wants_resources({})


def test_without_an_ingest_and_where_nothing_more_comes_of_what_was_there_resources_are_looked_at():
    _, waiting = moves(known(), {}, {})
    _, resumed = moves(known(), {"b": 50}, {"b": 50})

    assert waiting.wants_resources({})
    assert resumed.wants_resources(ingests(b=50))
    assert not seen(resumed, b=60).wants_resources(ingests(b=70))


def test_what_is_no_manifest_is_read_once_and_layers_never():
    blobs = {"sha256:a": b"a layer", "sha256:index": b"{}", "sha256:m": MANIFEST}
    track = seen(Track(), content(*blobs), blobs)

    assert Track().may_be_manifest("sha256:m", {"sha256:a": None})
    assert not Track().may_be_manifest("sha256:b", {"sha256:m": read_layers(MANIFEST)})
    assert not any(track.may_be_manifest(each, {}) for each in (*blobs, "sha256:b", "sha256:config"))


def test_a_name_that_stands_for_another_image_now_begins_anew():
    track = seen(known(), layers={"sha256:c": True})
    track = seen(track, content("sha256:m", "sha256:n"), {"sha256:n": OTHER})

    assert Sight(phase=Phase.DOWNLOADING, done=0, total=50, may_fetch=False) == track.sight


def test_of_two_manifests_the_one_counts_whose_layer_is_on_its_way():
    held = [*content("sha256:m", "sha256:n"), Resource(kind=ResourceKind.INGEST, id="layer-sha256:c")]

    assert TOTAL == seen(Track(), held, {"sha256:m": MANIFEST, "sha256:n": OTHER}, c=4).sight.total


@pytest.mark.parametrize("left", ["sha256:m", "sha256:n"])
def test_of_two_manifests_with_layers_on_their_way_the_one_counts_whose_layer_grows(left):
    blobs = {digest: OTHER if digest == left else MANIFEST for digest in ("sha256:m", "sha256:n")}
    held = [*content(*blobs), *(Resource(kind=ResourceKind.INGEST, id=f"layer-sha256:{layer}") for layer in "cz")]
    track = Track()
    for offset in (1, 2, 3):
        track = seen(track, held, blobs if offset == 1 else {}, c=offset, z=40)

    assert TOTAL == track.sight.total


def test_of_two_manifests_the_one_counts_that_came_in_this_attempt():
    """Layers of the other one are being fetched, and grow, by a pull of another image."""
    track = seen(seen(known(), c=1), c=2)
    track = seen(track, content("sha256:m", "sha256:n"), {"sha256:n": OTHER}, c=3)

    assert 50 == track.sight.total
    assert 50 == seen(track, content("sha256:m", "sha256:n"), c=4).sight.total


def test_of_two_manifests_without_layers_the_one_counts_that_was_read_last():
    track = seen(Track(), content("sha256:m", "sha256:n"), {"sha256:n": OTHER, "sha256:m": MANIFEST})

    assert TOTAL == track.sight.total


def test_of_another_manifest_all_layers_are_checked_again():
    """a was not there when the first manifest was known."""
    shared = b'{"layers": [{"digest": "sha256:a", "size": 1000}, {"digest": "sha256:z", "size": 50}]}'
    track = seen(known(), layers=dict.fromkeys(LAYERS, False))
    track = seen(track, content("sha256:m", "sha256:n"), {"sha256:n": shared})

    assert ["sha256:a", "sha256:z"] == track.unchecked({})


offsets = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "x"]), st.integers(0, 6_000_000))
observations = st.tuples(
    offsets,
    st.dictionaries(st.sampled_from(sorted(LAYERS)), st.booleans()),
    st.none() | st.lists(st.sampled_from(["sha256:m", *LAYERS]), unique=True),
)


@given(st.lists(observations | st.just("begin"), max_size=30))
def test_whatever_happens_bytes_never_run_backwards_and_end_at_the_total(script):
    track = Track()
    shown = [track.sight.done]
    for step in [*script, ({}, {}, ["sha256:m", *LAYERS])]:
        if step == "begin":
            track = track.begin()
            continue
        at, layers, held = step
        read = {"sha256:m": MANIFEST} if "sha256:m" in (held or ()) and not track.is_known else {}
        track = seen(track, None if held is None else content(*held), read, layers, **at)
        shown.append(track.sight.done)
        assert track.sight.total == 0 or track.sight.done <= track.sight.total
        assert not set(track.unchecked({})) - LAYERS.keys()

    assert sorted(shown) == shown
    assert TOTAL == track.sight.total == track.sight.done == track.complete.done
    assert Phase.UNPACKING is track.sight.phase


# Which blobs are manifests, and what they list.


def test_a_manifest_lists_layers_each_once_and_its_config():
    layers = [{"digest": "sha256:a", "size": 5}, {"digest": "sha256:b", "size": 7}, {"digest": "sha256:a", "size": 5}]
    found = read_layers(json.dumps({"layers": layers, "config": {"digest": "sha256:c", "size": 9}}).encode())

    assert found is not None
    assert ({"sha256:a": 5, "sha256:b": 7}, "sha256:c", 12) == (found.sizes, found.config, found.total)


def test_a_manifest_may_have_no_config_and_a_layer_no_size():
    found = read_layers(b'{"layers": [{"digest": "sha256:a"}, {"digest": "sha256:b", "size": -1}]}')

    assert found is not None
    assert ("", 0) == (found.config, found.total)


# How deep JSON may be depends on the Python: 1,000 up to 3.12, some 10,000 since. What is deeper is refused by all.
@pytest.mark.parametrize(
    "blob",
    [
        b'{"manifests": [{"digest": "sha256:a"}]}',
        b'{"rootfs": {"diff_ids": []}}',
        b'{"layers": [{"size": 4}]}',
        b'{"layers": "many"}',
        b"\x1f\x8b\x08\x00\x00\xff\xfe",
        b"[" * 100_000,
        b'"\xff"',
        b"null",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "layers": []}',
        b'{"layers": [{"digest": "sha256:a", "size": 9223372036854775808}]}',
        b'{"layers": [{"digest": "sha256:a", "size": 9223372036854775807}, {"digest": "sha256:b", "size": 1}]}',
    ],
)
def test_all_else_is_no_manifest(blob):
    assert read_layers(blob) is None
