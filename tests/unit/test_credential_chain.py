"""Several sources of credentials as one, on virtual time: order, slow and broken ones, what was learnt, renewal."""

import math
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.credentials.api import CacheKeyType, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig, Verdict
from nodeprefetch.credentials.chain import open_chain
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.credentials.plugins import Plugin, PluginState
from nodeprefetch.values.image_ref import ImageRef

IMAGE = ImageRef.parse("quay.io/team/app:1")


@dataclass
class Scripted:
    """A provider that takes its time, and gives credentials by user name."""

    users: Sequence[str] = ()
    key: str = "quay.io"
    delay: float = 0
    cache_duration: float | None = None
    cache_key_type: CacheKeyType = CacheKeyType.REGISTRY
    raises: Callable[[], BaseException] | None = None
    wanted: bool = True
    asked: list[tuple[float, str]] = field(default_factory=list)

    def matches(self, _image):
        return self.wanted

    async def get_credentials(self, image):
        self.asked.append((trio.current_time(), image.lookup_name))
        await trio.sleep(self.delay)
        if self.raises is not None:
            raise self.raises()
        return ProvidedCredentials(
            entries=tuple(KeyringEntry(key=self.key, auth=auth(user)) for user in self.users),
            cache_key_type=self.cache_key_type,
            cache_duration=self.cache_duration,
        )


def auth(user):
    return AuthConfig(username=user, password=f"secret-of-{user}")


def plugin(name, *providers):
    pairs = tuple((f"{name}/{number}" if len(providers) > 1 else name, one) for number, one in enumerate(providers))
    return Plugin(name=name, state=PluginState.CONFIGURED, providers=pairs)


@asynccontextmanager
async def chain_of(*plugins):
    complaints: list[str] = []
    async with open_chain(plugins, complaints.append) as chain:
        chain.complaints = complaints
        yield chain


async def all_of(chain, image=IMAGE, verdict=Verdict.UNDECIDED):
    """User names in the order given, each with the time at which it was."""
    found = []
    with chain.look_up(image) as lookup:
        while (one := await lookup.next()) is not None:
            found.append((trio.current_time(), one.auth.username))
            lookup.report(one, verdict)
        return found, lookup.is_complete


async def test_credentials_come_in_the_order_of_plugins(autojump_clock):
    async with chain_of(plugin("a", Scripted(["one"])), plugin("b", Scripted(["two", "three"]))) as chain:
        assert ([(0, "one"), (0, "two"), (0, "three")], True) == await all_of(chain)


async def test_without_plugins_there_are_none(autojump_clock):
    async with chain_of() as chain:
        assert ([], True) == await all_of(chain)


async def test_providers_of_one_plugin_share_a_keyring(autojump_clock):
    """The more specific key of the second comes first; under equal keys the first provider's."""
    providers = Scripted(["one"]), Scripted(["two"], key="quay.io/team"), Scripted(["three"])
    async with chain_of(plugin("p", *providers)) as chain:
        found, _ = await all_of(chain)

    assert ["two", "one", "three"] == [user for _, user in found]


async def test_a_key_that_does_not_match_the_image_is_not_used(autojump_clock):
    async with chain_of(plugin("a", Scripted(["other"], key="gcr.io"))) as chain:
        assert ([], True) == await all_of(chain)


async def test_a_provider_that_does_not_want_an_image_is_not_asked(autojump_clock):
    provider = Scripted(["one"], wanted=False)
    async with chain_of(plugin("a", provider)) as chain:
        assert ([], True) == await all_of(chain)

    assert [] == provider.asked


async def test_the_same_credential_from_two_sources_is_tried_once(autojump_clock):
    async with chain_of(plugin("a", Scripted(["one"])), plugin("b", Scripted(["one"]))) as chain:
        assert ([(0, "one")], True) == await all_of(chain)


async def test_sources_are_asked_side_by_side(autojump_clock):
    """2 s each, and both known at 2."""
    async with chain_of(plugin("a", Scripted(["one"], delay=2)), plugin("b", Scripted(["two"], delay=2))) as chain:
        assert ([(2, "one"), (2, "two")], True) == await all_of(chain)


async def test_a_good_source_waits_a_moment_for_an_earlier_one(autojump_clock):
    async with chain_of(plugin("slow", Scripted(["one"], delay=2.9)), plugin("b", Scripted(["two"]))) as chain:
        assert ([(2.9, "one"), (2.9, "two")], True) == await all_of(chain)


async def test_a_slow_source_does_not_hold_up_a_good_one(autojump_clock):
    """After 3 s the later source's is given; the slow one answers at 10."""
    async with chain_of(plugin("slow", Scripted(["one"], delay=10)), plugin("b", Scripted(["two"]))) as chain:
        assert ([(3, "two"), (10, "one")], True) == await all_of(chain)


async def test_a_source_that_hangs_is_given_up_after_a_minute(autojump_clock):
    async with chain_of(plugin("a", Scripted(["one"], delay=math.inf))) as chain:
        assert ([], False) == await all_of(chain)

        assert 60 == trio.current_time()
        assert ["credential provider a: no answer in 1m"] == chain.complaints


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyError])
async def test_a_source_that_crashes_costs_only_its_answer(autojump_clock, error):
    broken = Scripted(raises=lambda: error("hunter2"))
    async with chain_of(plugin("a", broken), plugin("b", Scripted(["two"]))) as chain:
        assert ([(0, "two")], False) == await all_of(chain)

        assert [f"credential provider a: raised {error.__name__}"] == chain.complaints


async def test_many_images_of_one_registry_are_one_call(autojump_clock):
    provider = Scripted(["one"], delay=1, cache_duration=60)
    images = [ImageRef.parse(f"quay.io/team/app{number}:1") for number in range(50)]
    found = []
    async with chain_of(plugin("a", provider)) as chain, trio.open_nursery() as nursery:

        async def look_up(image):
            found.append(await all_of(chain, image))

        for image in images:
            nursery.start_soon(look_up, image)

    assert 1 == len(provider.asked)
    assert 50 == len(found)
    assert {1, 2} >= {time for answer, _ in found for time, _ in answer}


async def test_an_image_whose_credentials_are_known_does_not_wait_for_the_others(autojump_clock):
    class ByRegistry(Scripted):
        async def get_credentials(self, image):
            self.delay = 0 if image.registry == "fast.io" else 50
            self.key = image.registry
            return await super().get_credentials(image)

    times = {}
    async with chain_of(plugin("a", ByRegistry(["one"]))) as chain, trio.open_nursery() as nursery:

        async def look_up(name):
            await all_of(chain, ImageRef.parse(name))
            times[name] = trio.current_time()

        nursery.start_soon(look_up, "slow.io/a:1")
        nursery.start_soon(look_up, "fast.io/a:1")

    assert {"slow.io/a:1": 50, "fast.io/a:1": 0} == times


async def test_a_credential_that_worked_comes_before_one_that_was_refused(autojump_clock):
    async with chain_of(plugin("a", Scripted(["stale", "good"]))) as chain:
        with chain.look_up(IMAGE) as lookup:
            for verdict in (Verdict.REFUSED, Verdict.WORKED):
                lookup.report(await lookup.next(), verdict)

        found, _ = await all_of(chain, ImageRef.parse("quay.io/team/other:1"))

    assert ["good", "stale"] == [user for _, user in found]


async def test_what_was_learnt_at_one_registry_says_nothing_of_another(autojump_clock):
    provider = Scripted(["stale", "good"], key="*.io", cache_key_type=CacheKeyType.GLOBAL)
    async with chain_of(plugin("a", provider)) as chain:
        with chain.look_up(IMAGE) as lookup:
            lookup.report(await lookup.next(), Verdict.REFUSED)

        found, _ = await all_of(chain, ImageRef.parse("ghcr.io/a:1"))

    assert ["stale", "good"] == [user for _, user in found]


async def test_a_more_specific_credential_stays_first_though_it_was_refused(autojump_clock):
    specific, general = Scripted(["specific"], key="quay.io/team"), Scripted(["general"])
    async with chain_of(plugin("a", specific, general)) as chain:
        with chain.look_up(IMAGE) as lookup:
            lookup.report(await lookup.next(), Verdict.REFUSED)

        found, _ = await all_of(chain, ImageRef.parse("quay.io/team/other:1"))

    assert ["specific", "general"] == [user for _, user in found]


async def test_one_stale_credential_costs_a_refusal_only_for_the_images_already_pulling(autojump_clock):
    """Four pulls at a time; the registry takes 0.5 s to refuse and 5 s to give an image: 13 turns of 5 s."""
    tried: list[str] = []
    slots = trio.CapacityLimiter(4)
    async with chain_of(plugin("a", Scripted(["stale", "good"]))) as chain, trio.open_nursery() as nursery:

        async def pull(image):
            async with slots:
                with chain.look_up(image) as lookup:
                    while (one := await lookup.next()) is not None:
                        tried.append(one.auth.username)
                        if one.auth.username == "good":
                            await trio.sleep(5)
                            lookup.report(one, Verdict.WORKED)
                            return
                        await trio.sleep(0.5)
                        lookup.report(one, Verdict.REFUSED)

        for number in range(50):
            nursery.start_soon(pull, ImageRef.parse(f"quay.io/team/app{number}:1"))

    assert (4, 50) == (tried.count("stale"), tried.count("good"))
    assert 65.5 == trio.current_time()


async def test_a_credential_refused_for_another_image_is_outdated_while_another_one_may_work(autojump_clock):
    async with chain_of(plugin("a", Scripted(["stale", "good"]))) as chain:
        with chain.look_up(IMAGE) as first, chain.look_up(ImageRef.parse("quay.io/team/other:1")) as second:
            stale = await first.next()
            queued = await second.next()
            outdated = [second.is_outdated(queued)]
            first.report(stale, Verdict.REFUSED)
            outdated.append(second.is_outdated(queued))
            first.report(await first.next(), Verdict.REFUSED)
            outdated.append(second.is_outdated(queued))

    assert [False, True, False] == outdated


async def test_a_credential_is_outdated_when_it_expires(autojump_clock):
    async with chain_of(plugin("a", Scripted(["one"], cache_duration=60))) as chain:
        with chain.look_up(IMAGE) as lookup:
            one = await lookup.next()
            await trio.sleep(59)
            before = lookup.is_outdated(one)
            await trio.sleep(1)

            assert (False, True) == (before, lookup.is_outdated(one))


async def test_no_image_waits_for_another_ones_attempt(autojump_clock):
    async with chain_of(plugin("a", Scripted(["one", "two"]))) as chain:
        with chain.look_up(IMAGE) as first:
            await first.next()
            with chain.look_up(ImageRef.parse("quay.io/team/other:1")) as second:
                assert "one" == (await second.next()).auth.username

    assert 0 == trio.current_time()


async def test_known_to_work_counts_among_equal_keys_of_different_sources(autojump_clock):
    """`quay.io/` and `https://quay.io` mean `quay.io`."""
    sources = plugin("a", Scripted(["stale"], key="quay.io/")), plugin("b", Scripted(["good"], key="https://quay.io"))
    async with chain_of(*sources) as chain:
        with chain.look_up(IMAGE) as lookup:
            for verdict in (Verdict.REFUSED, Verdict.WORKED):
                lookup.report(await lookup.next(), verdict)

        found, _ = await all_of(chain, ImageRef.parse("quay.io/team/other:1"))

    assert ["good", "stale"] == [user for _, user in found]


async def test_a_local_answer_that_does_not_change_is_indexed_once(autojump_clock, monkeypatch):
    class Local:
        is_local = True
        answer = ProvidedCredentials(
            entries=tuple(KeyringEntry(key=f"r{n}.test", auth=auth(str(n))) for n in range(100)),
            cache_key_type=CacheKeyType.GLOBAL,
        )

        async def get_credentials(self, _image):
            return self.answer

    indexed = []

    class CountingKeyring(Keyring):
        def __init__(self, entries=()):
            indexed.append(entries)
            super().__init__(entries)

    monkeypatch.setattr("nodeprefetch.credentials.provider_cache.Keyring", CountingKeyring)
    async with chain_of(plugin("a", Local())) as chain:
        indexed.clear()
        found = [await all_of(chain, ImageRef.parse(f"r{number}.test/app:1")) for number in range(100)]

    assert [str(number) for number in range(100)] == [user for given, _ in found for _, user in given]
    assert 1 == len(indexed)


async def test_a_remembered_answer_that_is_refused_is_asked_for_again(autojump_clock):
    """Expired before its time: the second look-up finds the old one refused, and asks."""
    provider = Scripted(["old"], cache_duration=3600)
    async with chain_of(plugin("a", provider)) as chain:
        await all_of(chain)
        provider.users = ["new"]
        await trio.sleep(1)

        found, _ = await all_of(chain, verdict=Verdict.REFUSED)

    assert ["old", "new"] == [user for _, user in found]
    assert [0, 1] == [time for time, _ in provider.asked]


async def test_an_answer_that_was_just_given_is_not_asked_for_again(autojump_clock):
    provider = Scripted(["old"], cache_duration=3600)
    async with chain_of(plugin("a", provider)) as chain:
        await all_of(chain, verdict=Verdict.REFUSED)

    assert 1 == len(provider.asked)


async def test_a_credential_refused_long_after_it_was_asked_for_is_asked_for_again(autojump_clock):
    """Its image waited half a minute for a slot, in which the registry changed its mind."""
    provider = Scripted(["old"], cache_duration=3600)
    async with chain_of(plugin("a", provider)) as chain:
        with chain.look_up(IMAGE) as lookup:
            old = await lookup.next()
            provider.users = ["new"]
            await trio.sleep(30)
            lookup.report(old, Verdict.REFUSED)
            new = await lookup.next()

    assert auth("new") == new.auth
    assert [0, 30] == [time for time, _ in provider.asked]


async def test_everything_known_to_match_can_be_shown(autojump_clock):
    async with chain_of(plugin("a", Scripted(["one"])), plugin("b", Scripted(["two"]))) as chain:
        with chain.look_up(IMAGE) as lookup:
            lookup.report(await lookup.next(), Verdict.WORKED)

            assert ["a quay.io (password)", "b quay.io (password)"] == [str(one) for one in lookup.matched]


async def test_a_look_up_that_is_left_waits_for_nobody(autojump_clock):
    slow = Scripted(["one"], delay=50)
    async with chain_of(plugin("slow", slow), plugin("b", Scripted(["two"]))) as chain:
        with chain.look_up(IMAGE) as lookup:
            lookup.report(await lookup.next(), Verdict.WORKED)
            assert not lookup.is_complete

    assert 3 == trio.current_time()


async def test_a_source_that_hangs_when_it_is_asked_again_is_not_waited_for(autojump_clock):
    """The refused answer is from 0. Asked again at 10, the source hangs: after 3 s there is no more, and it says so."""
    provider = Scripted(["old"], cache_duration=3600)
    async with chain_of(plugin("a", provider)) as chain:
        await all_of(chain)
        provider.delay = math.inf
        await trio.sleep(10)

        assert ([(10, "old")], False) == await all_of(chain, verdict=Verdict.REFUSED)
        assert 13 == trio.current_time()
