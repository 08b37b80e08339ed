"""Shares and places: what one address may take, and who leaves for whom."""

from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.server.places import Places
from nodeprefetch.aggregator.shares import Shares


def test_one_address_takes_half_and_leaves_half():
    shares = Shares(10)

    assert [True] * 5 + [False] == [shares.take("a") for _ in range(6)]
    assert [True, True, True, False] == [shares.take("b", size) for size in (1, 1, 1, 1)]


def test_what_is_nobodys_is_bounded_by_the_limit_alone():
    shares = Shares(10)

    assert [True, False] == [shares.take("", 10), shares.take("")]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 7), st.booleans()), max_size=60))
def test_shares_never_exceed_the_limit_and_come_back(steps):
    shares, held = Shares(20), []
    for address, size, takes in steps:
        if takes:
            if shares.take(address, size):
                held.append((address, size))
        elif held:
            shares.give_back(*held.pop(0))
        assert shares.used == sum(size for _, size in held) <= 20

    for each in held:
        shares.give_back(*each)
    assert (0, {}) == (shares.used, shares._held)


class Room:
    """Places, and who had to leave."""

    def __init__(self, limit):
        self.left = []
        self.places = Places(limit)

    def enter(self, address, name=None, *, may_leave=True):
        def leave():
            if may_leave:
                self.left.append(name or address)
            return may_leave

        return self.places.enter(address, leave)


def test_a_newcomer_takes_the_place_that_is_idle_longest():
    room = Room(3)
    places = [room.enter(address) for address in "abc"]
    places[0].become_busy()
    places[0].become_idle()

    assert room.enter("d") is not None
    assert ["b"] == room.left


def test_an_address_beyond_its_share_drives_out_itself():
    room = Room(4)
    room.enter("a", "first")
    room.enter("a", "second")

    assert room.enter("a", "third") is not None
    assert ["first"] == room.left


def test_the_address_with_the_most_connections_loses_one():
    room = Room(4)
    room.enter("b")
    [room.enter("a", name) for name in ("first", "second")]
    room.enter("c")

    assert room.enter("d") is not None
    assert ["first"] == room.left


def test_nobody_drives_out_an_address_that_holds_less():
    room = Room(3)
    for address in "aab":
        room.enter(address).become_busy()
    room.enter("b")

    idle = Room(2)
    idle.enter("a").become_busy()
    idle.enter("b")

    assert idle.enter("a") is None
    assert [] == idle.left


def test_who_has_just_been_asked_something_stays():
    room = Room(2)
    room.enter("a", may_leave=False)
    room.enter("b")

    assert room.enter("c") is not None
    assert ["b"] == room.left


def test_where_all_are_busy_there_is_no_place():
    room = Room(2)
    for address in "ab":
        room.enter(address).become_busy()

    assert room.enter("c") is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["enter", "busy", "idle", "leave"])), max_size=80))
def test_places_never_exceed_the_limit(steps):
    room, taken = Room(5), []
    for address, does in steps:
        if does == "enter":
            place = room.enter(address)
            taken.extend([place] if place else [])
        elif taken:
            place = taken[len(taken) // 2]
            {"busy": place.become_busy, "idle": place.become_idle, "leave": place.give_back}[does]()
        assert len(room.places._taken) == room.places._shares.used <= 5

    for place in taken:
        place.give_back()
    assert (0, {}) == (room.places._shares.used, room.places._idle)
