"""Fair shares and connection slots: what one address may take, and which connection closes for another."""

from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.fair_share import FairShare
from nodeprefetch.aggregator.server.slots import ConnectionSlots


def test_one_address_takes_half_and_leaves_half():
    shares = FairShare(10)

    assert [True] * 5 + [False] == [shares.take("a") for _ in range(6)]
    assert [True, True, True, False] == [shares.take("b", size) for size in (1, 1, 1, 1)]


def test_what_is_nobodys_is_bounded_by_the_limit_alone():
    shares = FairShare(10)

    assert [True, False] == [shares.take("", 10), shares.take("")]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 7), st.booleans()), max_size=60))
def test_shares_never_exceed_the_limit_and_come_back(steps):
    shares, held = FairShare(20), []
    for address, size, takes in steps:
        if takes:
            if shares.take(address, size):
                held.append((address, size))
        elif held:
            shares.release(*held.pop(0))
        assert shares.used == sum(size for _, size in held) <= 20

    for each in held:
        shares.release(*each)
    assert (0, {}) == (shares.used, shares._held)


class Room:
    """Connection slots, and the connections that were closed."""

    def __init__(self, limit):
        self.closed = []
        self.slots = ConnectionSlots(limit)

    def enter(self, address, name=None, *, may_close=True):
        def close():
            if may_close:
                self.closed.append(name or address)
            return may_close

        return self.slots.acquire(address, close)


def test_a_newcomer_takes_the_slot_that_is_idle_longest():
    room = Room(3)
    slots = [room.enter(address) for address in "abc"]
    slots[0].mark_busy()
    slots[0].mark_idle()

    assert room.enter("d") is not None
    assert ["b"] == room.closed


def test_an_address_beyond_its_share_drives_out_itself():
    room = Room(4)
    room.enter("a", "first")
    room.enter("a", "second")

    assert room.enter("a", "third") is not None
    assert ["first"] == room.closed


def test_the_address_with_the_most_connections_loses_one():
    room = Room(4)
    room.enter("b")
    [room.enter("a", name) for name in ("first", "second")]
    room.enter("c")

    assert room.enter("d") is not None
    assert ["first"] == room.closed


def test_nobody_drives_out_an_address_that_holds_less():
    room = Room(3)
    for address in "aab":
        room.enter(address).mark_busy()
    room.enter("b")

    idle = Room(2)
    idle.enter("a").mark_busy()
    idle.enter("b")

    assert idle.enter("a") is None
    assert [] == idle.closed


def test_who_has_just_been_asked_something_stays():
    room = Room(2)
    room.enter("a", may_close=False)
    room.enter("b")

    assert room.enter("c") is not None
    assert ["b"] == room.closed


def test_where_all_are_busy_there_is_no_slot():
    room = Room(2)
    for address in "ab":
        room.enter(address).mark_busy()

    assert room.enter("c") is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["enter", "busy", "idle", "end"])), max_size=80))
def test_slots_never_exceed_the_limit(steps):
    room, taken = Room(5), []
    for address, does in steps:
        if does == "enter":
            slot = room.enter(address)
            taken.extend([slot] if slot else [])
        elif taken:
            slot = taken[len(taken) // 2]
            {"busy": slot.mark_busy, "idle": slot.mark_idle, "end": slot.release}[does]()
        assert len(room.slots._taken) == room.slots._shares.used <= 5

    for slot in taken:
        slot.release()
    assert (0, {}) == (room.slots._shares.used, room.slots._idle)
