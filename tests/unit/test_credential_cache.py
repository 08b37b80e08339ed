"""One provider, asked no more than needed, on virtual time."""

import sys
import threading
from contextlib import asynccontextmanager

import pytest
import trio

from nodeprefetch.credentials.api import CacheKeyType, NotConfigured, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.credentials.provider_cache import ProviderCache
from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.text.known_secrets import knowing_secrets, known_secrets
from nodeprefetch.values.image_ref import ImageRef

A1, A2, A_OTHER = (ImageRef.parse(f"quay.io/{name}") for name in ("a:1", "a:2", "b:1"))
ELSEWHERE = ImageRef.parse("gcr.io/c:1")
BAD_ENTRIES = "returned invalid entries: must be a tuple of KeyringEntry"
BAD_ENTRY = "returned an invalid KeyringEntry: key must be a str, auth an AuthConfig of str"
BAD_DURATION = "returned an invalid cache_duration: must be None or a number of seconds"


class Counting:
    """Numbers its answers."""

    def __init__(self, kind=CacheKeyType.IMAGE, duration=None, delay=0.0):
        self.kind, self.duration, self.delay = kind, duration, delay
        self.times = []
        self.fails = False

    async def get_credentials(self, image):
        self.times.append(trio.current_time())
        await trio.sleep(self.delay)
        if self.fails:
            raise RuntimeError("hunter2")
        user = str(len(self.times))
        return ProvidedCredentials(
            entries=(KeyringEntry(key="*.io", auth=AuthConfig(username=user)),),
            cache_key_type=self.kind,
            cache_duration=self.duration,
        )


@asynccontextmanager
async def cache_of(provider):
    complaints: list[str] = []
    async with trio.open_nursery() as nursery:
        cache = ProviderCache("p", provider, nursery=nursery, warn=complaints.append)
        cache.complaints = complaints
        yield cache
        nursery.cancel_scope.cancel()


async def user(cache, image=A1):
    answer = await cache.answer(image)
    return answer and answer.keyring.lookup(image)[0].auth.username


async def test_an_answer_without_a_duration_is_asked_for_each_time(autojump_clock):
    async with cache_of(Counting()) as cache:
        assert ["1", "2"] == [await user(cache), await user(cache)]


@pytest.mark.parametrize(
    ("kind", "users"),
    [
        (CacheKeyType.IMAGE, ["1", "1", "2", "3"]),
        (CacheKeyType.REGISTRY, ["1", "1", "1", "2"]),
        (CacheKeyType.GLOBAL, ["1", "1", "1", "1"]),
    ],
)
async def test_the_cache_key_type_says_for_what_else_an_answer_holds(autojump_clock, kind, users):
    async with cache_of(Counting(kind, duration=60)) as cache:
        assert users == [await user(cache, image) for image in (A1, A2, A_OTHER, ELSEWHERE)]


async def test_the_time_of_an_answer_begins_when_it_is_there(autojump_clock):
    """The provider takes 2 s for an answer that holds for 1 s: used from 2 to 2.9, asked for again then."""
    provider = Counting(duration=1, delay=2)
    async with cache_of(provider) as cache:
        assert 3 == (await cache.answer(A1)).valid_until
        await trio.sleep(0.8)
        assert "1" == await user(cache)
        await trio.sleep(0.1)
        assert "2" == await user(cache)

    assert [0, pytest.approx(2.9)] == provider.times


async def test_an_answer_is_renewed_before_it_expires(autojump_clock):
    """60 s: used until 54, asked for again then."""
    async with cache_of(Counting(duration=60)) as cache:
        await user(cache)
        await trio.sleep(53.9)
        before = await user(cache)
        await trio.sleep(0.1)

        assert ("1", "2") == (before, await user(cache))


async def test_while_it_is_still_valid_it_serves_when_renewing_fails(autojump_clock):
    provider = Counting(duration=60)
    async with cache_of(provider) as cache:
        await user(cache)
        provider.fails = True
        await trio.sleep(55)

        assert ["1", "1"] == [await user(cache), await user(cache)]

        await trio.sleep(5)
        assert await user(cache) is None


async def test_a_duration_of_zero_is_not_remembered(autojump_clock):
    async with cache_of(Counting(duration=0)) as cache:
        assert ["1", "2"] == [await user(cache), await user(cache)]


async def test_equal_questions_at_the_same_time_are_one_call(autojump_clock):
    provider = Counting(delay=5)
    got = []
    async with cache_of(provider) as cache, trio.open_nursery() as nursery:

        async def ask():
            got.append(await user(cache))

        for _ in range(10):
            nursery.start_soon(ask)

    assert (["1"] * 10, [0]) == (got, provider.times)


async def test_images_of_one_registry_wait_for_the_first_answer_and_then_go_side_by_side(autojump_clock):
    """The first answer, at 5, says that it holds for one image: the other nine are asked for at once then."""
    provider = Counting(delay=5)
    async with cache_of(provider) as cache, trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(user, cache, ImageRef.parse(f"quay.io/app{number}:1"))

    assert [0] + [5] * 9 == provider.times


async def test_a_call_goes_on_for_the_others_when_the_first_who_asked_is_gone(autojump_clock):
    provider = Counting(duration=60, delay=5)
    async with cache_of(provider) as cache:
        with trio.move_on_after(1):
            await user(cache)

        assert "1" == await user(cache)

    assert [0] == provider.times


async def test_one_that_failed_is_left_alone_for_longer_each_time(autojump_clock):
    """Asked every half second: rests of 1, 2, 4 s."""
    provider = Counting()
    provider.fails = True
    async with cache_of(provider) as cache:
        for _ in range(17):
            await user(cache)
            await trio.sleep(0.5)

        assert [0, 1, 3, 7] == provider.times
        assert ["credential provider p: raised RuntimeError"] * 4 == cache.complaints


async def test_one_that_answers_again_is_asked_as_before(autojump_clock):
    provider = Counting()
    provider.fails = True
    async with cache_of(provider) as cache:
        await user(cache)
        await trio.sleep(1)
        provider.fails = False
        await user(cache)
        provider.fails = True
        await user(cache)
        await trio.sleep(1)
        await user(cache)

    assert [0, 1, 1, 2] == provider.times


async def test_all_who_wait_for_a_failing_call_are_told_and_it_is_said_once(autojump_clock):
    provider = Counting(delay=5)
    provider.fails = True
    got = []
    async with cache_of(provider) as cache, trio.open_nursery() as nursery:

        async def ask(image):
            got.append(await user(cache, image))

        for number in range(10):
            nursery.start_soon(ask, ImageRef.parse(f"quay.io/app{number}:1"))

    assert ([None] * 10, [0], 1) == (got, provider.times, len(cache.complaints))


async def test_a_blocking_provider_is_asked_in_a_thread():
    class Blocking:
        def get_credentials(self, _image):
            self.thread = threading.current_thread()
            return ProvidedCredentials()

    provider = Blocking()
    async with cache_of(provider) as cache:
        await cache.answer(A1)

    assert threading.main_thread() is not provider.thread


async def test_a_function_that_makes_a_coroutine_will_do():
    class Wrapped:
        def get_credentials(self, image):
            return Counting().get_credentials(image)

    async with cache_of(Wrapped()) as cache:
        assert "1" == await user(cache)


async def test_a_blocking_provider_that_hangs_is_left_to_itself(autojump_clock):
    release = threading.Event()

    class Hanging:
        def get_credentials(self, _image):
            release.wait(30)

    async with cache_of(Hanging()) as cache:
        with trio.move_on_after(10) as scope:
            await user(cache)
        release.set()

    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, "returned NoneType, not ProvidedCredentials"),
        (NotConfigured(why="x"), "returned NotConfigured, not ProvidedCredentials"),
        (ProvidedCredentials(entries=("x",)), BAD_ENTRIES),
        (ProvidedCredentials(entries=[]), BAD_ENTRIES),
        (ProvidedCredentials(entries=(KeyringEntry(key=None, auth=AuthConfig()),)), BAD_ENTRY),
        (ProvidedCredentials(entries=(KeyringEntry(key="quay.io", auth="hunter2"),)), BAD_ENTRY),
        (ProvidedCredentials(entries=(KeyringEntry(key="quay.io", auth=AuthConfig(password=b"hunter2")),)), BAD_ENTRY),
        (ProvidedCredentials(cache_key_type="Image"), "returned an invalid cache_key_type: must be a CacheKeyType"),
        (ProvidedCredentials(cache_duration=-1), BAD_DURATION),
        (ProvidedCredentials(cache_duration=float("nan")), BAD_DURATION),
        (ProvidedCredentials(cache_duration="60"), BAD_DURATION),
    ],
)
async def test_a_wrong_answer_is_a_failure_that_says_what_is_wrong(autojump_clock, answer, complaint):
    class Wrong:
        async def get_credentials(self, _image):
            return answer

    async with cache_of(Wrong()) as cache:
        assert await cache.answer(A1) is None
        assert [f"credential provider p: {complaint}"] == cache.complaints


async def test_an_error_raised_on_purpose_is_told_in_full(autojump_clock):
    class Refusing:
        async def get_credentials(self, _image):
            raise NodeprefetchError("the token file is empty")

    async with cache_of(Refusing()) as cache:
        await cache.answer(A1)
        assert ["credential provider p: NodeprefetchError: the token file is empty"] == cache.complaints


async def test_what_a_provider_hands_out_is_known_as_a_secret_and_not_told_in_an_error(autojump_clock):
    """Whether an image matches it or not."""

    class HandsOutOnce:
        def __init__(self):
            auth = AuthConfig(username="joe", password="hunter2-of-joe", identity_token="id-token-of-joe")
            self.answers = [ProvidedCredentials(entries=(KeyringEntry(key="elsewhere.test", auth=auth),))]

        async def get_credentials(self, _image):
            if self.answers:
                return self.answers.pop()
            raise NodeprefetchError("hunter2-of-joe is no longer valid")

    with knowing_secrets():
        async with cache_of(HandsOutOnce()) as cache:
            await cache.answer(A1)
            assert {"hunter2-of-joe", "id-token-of-joe"} == known_secrets()
            await cache.answer(A1)

    assert ["credential provider p: NodeprefetchError: *** is no longer valid"] == cache.complaints


async def test_a_local_provider_is_asked_each_time_even_after_a_failure(autojump_clock):
    provider = Counting(duration=60)
    provider.is_local = True
    provider.fails = True
    async with cache_of(provider) as cache:
        await user(cache)
        provider.fails = False
        assert ["2", "3"] == [await user(cache), await user(cache)]


async def test_one_that_fails_at_saying_what_it_matches_is_asked(autojump_clock):
    class Bad(Counting):
        def matches(self, _image):
            sys.exit("hunter2")

    async with cache_of(Bad()) as cache:
        assert cache.matches(A1)
