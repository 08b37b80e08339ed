"""What our leases are called, and how they are told from those of others."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.runtime.api import Lease
from nodeprefetch.runtime.lease_labels import PREFIX, encode_name, new_lease, pull_lease

NAMES = st.text(st.characters(), max_size=40)


@given(image=NAMES.filter(bool), instance=NAMES, run=NAMES, expires_at=st.floats(0, 1e10))
def test_a_lease_is_found_again_by_what_containerd_keeps_of_it(image, instance, run, expires_at):
    made = new_lease(image, instance=instance, run=run, expires_at=expires_at)

    found = pull_lease(Lease(id=made.id, labels=made.labels, created_at=7, expires_at=made.expires_at))

    assert (found.id, found.image, found.instance, found.run, found.created_at, found.expires_at) == (
        made.id,
        encode_name(image),
        encode_name(instance),
        run,
        7,
        math.ceil(expires_at),
    )
    assert all(made.labels.values())
    assert made.id.isascii()


def test_the_id_comes_from_instance_image_and_end():
    ids = [
        new_lease(image, instance=instance, run="r", expires_at=end).id
        for image, instance, end in [("a", "b", 1), ("a", "b", 2), ("a", "c", 1), ("b", "b", 1), ("", "ba", 1)]
    ]

    assert 5 == len(set(ids))
    assert ids[0] == new_lease("a", instance="b", run="another", expires_at=0.5).id


@pytest.mark.parametrize(
    "lease",
    [
        Lease(id="k8s.io/1/extract", labels={}),
        Lease(id="other", labels=new_lease("a", instance="", run="r", expires_at=1).labels),
        Lease(id=f"{PREFIX}something", labels={"nodeprefetch.io/instance": "one"}),
    ],
)
def test_leases_of_others_are_not_ours(lease):
    assert pull_lease(lease) is None


def test_a_lease_without_an_end_stays():
    made = new_lease("a", instance="", run="r", expires_at=1)

    assert math.inf == pull_lease(Lease(id=made.id, labels=made.labels)).expires_at


def test_long_names_are_cut_and_stay_different():
    one, other = encode_name("ü" * 2000 + "1"), encode_name("ü" * 2000 + "2")

    assert one != other
    assert len(one.encode()) <= 1017


def test_what_is_no_text_is_written_so_that_it_can_be_sent():
    assert "a\\udc80" == encode_name("a\udc80")
