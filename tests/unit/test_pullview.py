"""What leases and ingests tell of a pull: never backwards, and the true total at the end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.events import Phase
from nodeprefetch.pull.tracker import PullView, Sight
from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind

LAYERS = {"sha256:a": 1_000, "sha256:b": 70_000, "sha256:c": 5_000_000, "sha256:d": 0}
TOTAL = 5_071_000
MANIFEST = json.dumps(
    {
        "layers": [{"digest": digest, "size": size} for digest, size in LAYERS.items()],
        "config": {"digest": "sha256:config"},
    }
).encode()


def content(*digests: str) -> list[Resource]:
    return [Resource(kind=ResourceKind.CONTENT, id=digest) for digest in digests]


def ingests(**offsets: int) -> dict[str, Ingest]:
    found = {}
    for name, offset in offsets.items():
        digest = f"sha256:{name}"
        found[f"layer-{digest}"] = Ingest(ref=f"layer-{digest}", offset=offset, total=LAYERS.get(digest, 0))
    return found


def known() -> PullView:
    view = PullView()
    view.hold(content("sha256:m"))
    for digest in view.unread():
        view.read(digest, MANIFEST)
    return view


def test_at_first_nothing_is_known():
    view = PullView()

    assert view.wants_resources({})
    assert not view.look({})
    assert Sight(phase=Phase.RESOLVING, done=0, total=0) == view.sight


def test_bytes_are_those_of_complete_layers_and_what_has_come_of_the_others():
    view = known()
    view.commit("sha256:a")

    view.look(ingests(b=10_000, c=2_000_000))

    assert Sight(phase=Phase.DOWNLOADING, done=2_011_000, total=TOTAL, on_their_way=2) == view.sight


def test_the_first_look_is_no_movement_and_an_offset_that_grows_is_one():
    view = known()

    assert [False, False, True, False] == [view.look(ingests(c=offset)) for offset in (524_288, 524_288, 1_048_576, 0)]


def test_an_ingest_that_begins_anew_moves_though_the_bytes_told_stay():
    """1 MiB was there; the registry does not know Range, and it begins at 0."""
    view = known()
    moved = [view.look(ingests(c=offset)) for offset in (0, 1_048_576, 0, 524_288)]

    assert [False, True, False, True] == moved
    assert 1_048_576 == view.sight.done


def test_an_ingest_that_appears_is_movement():
    view = known()
    view.look(ingests(b=0))

    assert view.look(ingests(b=0, c=0))


def test_the_ingest_of_another_images_pull_counts_when_it_is_a_layer_of_this_one():
    view = known()

    assert {"layer-sha256:c"} == view.own(ingests(c=5, x=7)).keys()


def test_an_ingest_of_the_lease_counts_before_the_manifest_is_known():
    view = PullView()
    view.hold([Resource(kind=ResourceKind.INGEST, id="layer-sha256:c")])

    view.look(ingests(c=600_000))

    assert Sight(phase=Phase.DOWNLOADING, done=600_000, total=0, on_their_way=1) == view.sight


def test_once_all_layers_are_there_the_image_is_being_unpacked():
    view = known()
    view.look(ingests(c=0))
    view.hold(content("sha256:m", *LAYERS))

    assert view.look({})
    assert Sight(phase=Phase.UNPACKING, done=TOTAL, total=TOTAL, may_fetch=False) == view.sight


def test_a_new_snapshot_is_movement():
    view = known()
    view.hold(content("sha256:m", *LAYERS))
    view.look({})
    view.hold([*content("sha256:m", *LAYERS), Resource(kind=ResourceKind.SNAPSHOT, id="extract-1 sha256:x")])

    assert [True, False] == [view.look({}), view.look({})]


def test_without_an_ingest_and_after_it_has_begun_nothing_can_come_over_the_network():
    """Layers whose snapshots are there are not fetched, so that their bytes never come."""
    view = known()
    view.look({})
    before = view.sight.may_fetch
    view.look(ingests(b=0))
    during = view.sight.may_fetch
    view.look({})

    assert [True, True, False] == [before, during, view.sight.may_fetch]


def test_another_attempt_may_wait_for_the_registry_again():
    view = known()
    view.look({})
    view.look(ingests(b=100))
    view.begin()

    assert not view.look({})
    assert view.sight.may_fetch
    assert 100 == view.sight.done


def test_what_was_collected_between_two_attempts_is_on_its_way_again():
    """All was there; then the lease was gone, and with it what it held. What is shown stays."""
    view = known()
    view.hold(content("sha256:m", *LAYERS))
    view.look({})
    before = view.sight.phase
    view.begin()
    view.hold([])
    view.look(ingests(c=0))

    assert [Phase.UNPACKING, Phase.DOWNLOADING] == [before, view.sight.phase]
    assert view.sight.may_fetch
    assert TOTAL == view.sight.done
    assert view.look(ingests(c=524_288))


def test_a_pull_waits_as_long_as_none_of_its_ingests_grows_in_this_attempt():
    view = known()
    view.look(ingests(b=100))
    waits = [view.is_waiting(ingests(b=100))]
    view.look(ingests(b=200))
    waits.append(view.is_waiting(ingests(b=200)))
    view.begin()
    waits.append(view.is_waiting(ingests(b=200)))

    assert [True, False, True] == waits


def test_it_is_asked_once_whether_a_layer_is_there_and_again_when_its_ingest_has_gone():
    view = known()

    assert {"sha256:a", "sha256:d", "sha256:c"} == set(view.unasked(ingests(b=5)))
    assert ["sha256:b"] == view.unasked({})
    assert [] == view.unasked({})
    assert [] == view.unasked(ingests(a=1))
    assert ["sha256:a"] == view.unasked({})
    assert () == PullView().unasked({})


def test_while_the_picture_stays_resources_are_not_looked_at():
    view = known()
    view.look(ingests(b=0))

    assert not view.wants_resources(ingests(b=50))
    assert view.wants_resources(ingests(b=50, c=0))
    assert view.wants_resources({})


def test_without_an_ingest_and_where_nothing_more_comes_of_what_was_there_resources_are_looked_at():
    waiting, resumed = known(), known()
    for _ in range(2):
        waiting.look({})
        resumed.look(ingests(b=50))

    assert waiting.wants_resources({})
    assert resumed.wants_resources(ingests(b=50))
    resumed.look(ingests(b=60))
    assert not resumed.wants_resources(ingests(b=70))


def test_what_is_no_manifest_is_read_once_and_layers_never():
    view = PullView()
    view.hold(content("sha256:index", "sha256:m", "sha256:a"))
    asked = []
    for digest in view.unread():
        asked.append(digest)
        view.read(digest, {"sha256:m": MANIFEST, "sha256:index": b"{}"}.get(digest))
    view.hold(content("sha256:index", "sha256:m", "sha256:a", "sha256:b", "sha256:config"))

    assert ["sha256:a", "sha256:index", "sha256:m"] == asked
    assert [] == list(view.unread())


def test_a_name_that_stands_for_another_image_now_begins_anew():
    other = b'{"layers": [{"digest": "sha256:z", "size": 50}]}'
    view = known()
    view.commit("sha256:c")
    view.look({})
    view.hold(content("sha256:m", "sha256:n"))
    for digest in view.unread():
        view.read(digest, other)
    view.look({})

    assert Sight(phase=Phase.DOWNLOADING, done=0, total=50, may_fetch=False) == view.sight


def test_of_two_manifests_the_one_counts_whose_layer_is_on_its_way():
    view = PullView()
    view.hold([*content("sha256:m", "sha256:n"), Resource(kind=ResourceKind.INGEST, id="layer-sha256:c")])
    for digest in view.unread():
        view.read(digest, MANIFEST if digest == "sha256:m" else b'{"layers": [{"digest": "sha256:z", "size": 50}]}')
    view.look(ingests(c=4))

    assert TOTAL == view.sight.total


@pytest.mark.parametrize("left", ["sha256:m", "sha256:n"])
def test_of_two_manifests_with_layers_on_their_way_the_one_counts_whose_layer_grows(left):
    other = b'{"layers": [{"digest": "sha256:z", "size": 50}]}'
    held = [Resource(kind=ResourceKind.INGEST, id=f"layer-sha256:{layer}") for layer in "cz"]
    view = PullView()
    for offset in (1, 2, 3):
        view.hold([*content("sha256:m", "sha256:n"), *held])
        for digest in view.unread():
            view.read(digest, other if digest == left else MANIFEST)
        view.look(ingests(c=offset, z=40))

    assert TOTAL == view.sight.total


offsets = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "x"]), st.integers(0, 6_000_000))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("look"), offsets),
        st.tuples(st.just("commit"), st.sampled_from(sorted(LAYERS))),
        st.tuples(st.just("begin"), st.none()),
        st.tuples(st.just("hold"), st.lists(st.sampled_from(["sha256:m", *LAYERS]), unique=True)),
    ),
    max_size=30,
)


@given(steps)
def test_whatever_happens_bytes_never_run_backwards_and_end_at_the_total(script):
    view = PullView()
    told = [view.sight.done]
    for what, value in [*script, ("hold", ["sha256:m", *LAYERS]), ("look", {})]:
        match what:
            case "look":
                view.look(ingests(**value))
                told.append(view.sight.done)
                assert view.sight.total == 0 or view.sight.done <= view.sight.total
            case "commit":
                view.commit(value)
            case "begin":
                view.begin()
            case _:
                view.hold(content(*value))
                for digest in view.unread():
                    view.read(digest, MANIFEST if digest == "sha256:m" else None)
                assert not set(view.unasked({})) - LAYERS.keys()

    assert sorted(told) == told
    assert TOTAL == view.sight.total == view.sight.done == view.complete().done
    assert Phase.UNPACKING is view.sight.phase
