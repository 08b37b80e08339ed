"""The contract of credential plugins: a good plugin passes, and each way of being bad is found."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from nodeprefetch.credentials.api import CacheKeyType, NotConfigured, PluginContext, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.testing import CredentialProviderContract
from nodeprefetch.values.image_ref import ImageRef

SECRET = "s3cr3t-of-mine"
TESTS = [name for name in vars(CredentialProviderContract) if name.startswith("test_")]


def credentials(key: str = "known.test", **fields: Any) -> ProvidedCredentials:
    entry = KeyringEntry(key=key, auth=AuthConfig(username="me", password=SECRET))
    return ProvidedCredentials(**{"entries": (entry,), **fields})


class Provider:
    """A good one, until a test makes it bad."""

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        await trio.sleep(0.001)
        return credentials() if image.registry == "known.test" else ProvidedCredentials()


def make(context: PluginContext) -> Any:
    context.allow_options("host")
    return Provider() if context.option("host") else NotConfigured(why="no host")


class TestOfAGoodPlugin(CredentialProviderContract):
    factory = make
    known_image = "known.test/app"
    unknown_image = "unknown.test/app"
    secrets = (SECRET,)

    def options(self, _directory):
        return {"host": "known.test"}


class BlockingProvider(Provider):
    """With all that a provider may have."""

    name = "blocking"
    is_local = False

    def matches(self, image: ImageRef) -> bool:
        return image.registry == "known.test"

    def get_credentials(self, _image: ImageRef) -> ProvidedCredentials:
        wide = KeyringEntry(key="other.test", auth=AuthConfig(username="me", password=SECRET))
        return credentials(
            entries=(*credentials().entries, wide), cache_key_type=CacheKeyType.GLOBAL, cache_duration=60
        )


class TestOfAPluginWithSeveralProvidersFromItsEnvironment(TestOfAGoodPlugin):
    works_without_options = True

    @staticmethod
    def factory(context):
        context.allow_options()
        assert context.environment == {"HOST": "known.test"}
        return [BlockingProvider(), Provider()]

    def options(self, _directory):
        return {}

    def environment(self, _directory):
        return {"HOST": "known.test"}


def failures(request: pytest.FixtureRequest, contract: type[CredentialProviderContract]) -> dict[str, str]:
    """Each test of the contract that fails, and what it says."""
    found = {}
    for name in TESTS:
        test = getattr(contract(), name)
        arguments = {each: request.getfixturevalue(each) for each in inspect.signature(test).parameters}
        try:
            test(**arguments)
        except BaseException as error:  # noqa: BLE001 - pytest would show any of them
            found[name] = f"{type(error).__name__}: {error}"
    return found


def with_factory(made: Any) -> type[CredentialProviderContract]:
    """A contract over a plugin that makes this, when it is told a host."""

    def factory(context: PluginContext) -> Any:
        context.allow_options("host")
        return made if context.option("host") else NotConfigured(why="no host")

    return type("Contract", (TestOfAGoodPlugin,), {"factory": factory, "patience": 5.0})


def answering(answer: Callable[[ImageRef], Any], **members: Any) -> Any:
    """A provider with this answer."""

    async def get_credentials(_self: Any, image: ImageRef) -> Any:
        return answer(image)

    return type("Bad", (), {"get_credentials": get_credentials, **members})()


def known_only(**fields: Any) -> Callable[[ImageRef], Any]:
    return lambda image: credentials(**fields) if image.registry == "known.test" else ProvidedCredentials()


def fail(_image: ImageRef) -> Any:
    raise LookupError("unknown")


def other_entries(*entries: Any) -> Callable[[ImageRef], Any]:
    return known_only(entries=entries)


KNOWN = "test_a_known_image_gets_credentials_under_keys_that_match"
UNKNOWN = "test_an_unknown_image_gets_none"
MADE = "test_the_factory_makes_providers"


@pytest.mark.parametrize(
    ("made", "test", "text"),
    [
        (object(), MADE, "object has no get_credentials"),
        ([], MADE, "the factory returned no provider; it must return NotConfigured instead"),
        (NotConfigured(why="never"), MADE, "with these options the plugin is not configured: never"),
        (answering(known_only(), name=""), MADE, "Bad: name must be a non-empty str, not ''"),
        (answering(known_only(), is_local=1), MADE, "Bad: is_local must be a bool, not 1"),
        (
            answering(known_only(), matches=lambda *_: None),
            MADE,
            "matches(known.test/app) must return a bool, not None",
        ),
        (answering(lambda _: None), KNOWN, "Bad returned NoneType, not ProvidedCredentials"),
        (answering(fail), UNKNOWN, "LookupError: unknown"),
        (answering(lambda _: ProvidedCredentials()), KNOWN, "no credential has a key that matches known.test/app"),
        (
            answering(known_only(key="known.test/other")),
            KNOWN,
            "only has keys that do not match it: ['known.test/other']",
        ),
        (
            answering(known_only(key="other.test", cache_key_type=CacheKeyType.REGISTRY)),
            KNOWN,
            "no credential has a key that matches known.test/app",
        ),
        (answering(known_only(key="a b")), KNOWN, "keys must be a host or host/path: ('a b',)"),
        (answering(known_only(entries=[])), KNOWN, "entries must be a tuple, not list"),
        (answering(other_entries("x")), KNOWN, "an entry must be a KeyringEntry, not str"),
        (answering(other_entries(KeyringEntry(key=1, auth=AuthConfig()))), KNOWN, "a key must be a str, not int"),
        (
            answering(other_entries(KeyringEntry(key="known.test", auth=1))),
            KNOWN,
            "an auth must be an AuthConfig, not int",
        ),
        (
            answering(other_entries(KeyringEntry(key="known.test", auth=AuthConfig(password=b"x")))),
            KNOWN,
            "the password under known.test must be a str, not bytes",
        ),
        (
            answering(other_entries(KeyringEntry(key="known.test", auth=AuthConfig(username="x")))),
            KNOWN,
            "no credential for known.test/app has a password or token",
        ),
        (
            answering(other_entries(KeyringEntry(key="known.test", auth=AuthConfig(password="undeclared")))),
            KNOWN,
            "Contract.secrets must contain all returned secrets",
        ),
        (answering(known_only(cache_key_type="Image")), KNOWN, "cache_key_type must be a CacheKeyType, not 'Image'"),
        (answering(known_only(cache_duration=-1)), KNOWN, "cache_duration must be None or seconds, not -1"),
        (answering(known_only(cache_duration=True)), KNOWN, "cache_duration must be None or seconds, not True"),
        (answering(known_only(cache_duration=float("inf"))), KNOWN, "cache_duration must be None or seconds, not inf"),
        (
            answering(lambda image: credentials(key=image.registry)),
            UNKNOWN,
            "unknown.test/app must get no credentials, but got those with the keys ['unknown.test']",
        ),
        (
            answering(lambda i: credentials() if i.text == "known.test/app" else ProvidedCredentials()),
            "test_tag_and_digest_change_nothing",
            "known.test/app:1.2 gets other credentials than known.test/app",
        ),
        (
            answering(known_only(), matches=lambda _, image: image.tag is None),
            "test_tag_and_digest_change_nothing",
            "known.test/app:1.2 gets other credentials than known.test/app",
        ),
    ],
)
def test_a_bad_plugin_fails_the_test_that_says_so(
    request: pytest.FixtureRequest, made: Any, test: str, text: str
) -> None:
    assert text in failures(request, with_factory(made)).get(test, "")


def test_an_answer_that_changes_is_found(request: pytest.FixtureRequest) -> None:
    numbers = iter(range(1000))
    provider = answering(known_only())
    provider.__class__.get_credentials = changing(numbers)

    found = failures(request, with_factory(provider))

    assert "AssertionError: a second call returned other credentials" == found["test_asking_again_gives_the_same"]
    assert "test_a_cancelled_call_ends_at_once" in found


def changing(numbers: Any) -> Any:
    async def get_credentials(_self: Any, image: ImageRef) -> Any:
        entry = KeyringEntry(key=image.registry, auth=AuthConfig(username=str(next(numbers)), password=SECRET))
        return ProvidedCredentials(entries=(entry,))

    return get_credentials


def test_a_second_provider_that_answers_otherwise_is_found(request: pytest.FixtureRequest) -> None:
    keys = iter(["known.test", "known.test/app"] * 100)

    def factory(context: PluginContext) -> Any:
        context.allow_options("host")
        key = next(keys)
        return answering(known_only(key=key)) if context.option("host") else NotConfigured(why="no host")

    contract = type("Contract", (TestOfAGoodPlugin,), {"factory": factory})

    found = failures(request, contract)

    assert "a second provider returned other credentials" in found["test_asking_again_gives_the_same"]


@dataclass
class Muddled:
    """Keeps in itself what it is asked, so that all get what the last one asked for. Trio decides who that is."""

    image: ImageRef | None = None

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        self.image = image
        await trio.sleep(0.001)
        return credentials() if self.image.registry == "known.test" else ProvidedCredentials()


def test_calls_that_disturb_each_other_are_found(request: pytest.FixtureRequest) -> None:
    found = failures(request, with_factory(Muddled()))

    assert ["test_asking_for_several_images_at_once_gives_the_same"] == list(found)
    assert "".join(found.values()).endswith(
        (
            "concurrent calls returned other credentials for known.test/app",
            "an answer for unknown.test/app only has keys that do not match it: ['known.test']",
        )
    )


class Busy(Provider):
    """Has nothing to say to a second caller."""

    callers = 0

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        self.callers += 1
        try:
            answer = await super().get_credentials(image)
        finally:
            self.callers -= 1
        return ProvidedCredentials() if self.callers else answer


def test_a_provider_that_cannot_serve_several_at_once_is_found(request: pytest.FixtureRequest) -> None:
    expected = "AssertionError: concurrent calls returned other credentials for known.test/app"

    assert {"test_asking_for_several_images_at_once_gives_the_same": expected} == (
        failures(request, with_factory(Busy()))
    )


class Hanging:
    async def get_credentials(self, _image: ImageRef) -> ProvidedCredentials:
        await trio.sleep_forever()
        return ProvidedCredentials()


class Stubborn(Provider):
    """When cancelled."""

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        try:
            return await super().get_credentials(image)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(1.1)
            raise


class Broken(Provider):
    """By a cancelled call."""

    is_broken = False

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        try:
            answer = await super().get_credentials(image)
        except trio.Cancelled:
            self.is_broken = True
            raise
        return ProvidedCredentials() if self.is_broken else answer


def test_a_provider_that_hangs_does_not_hang_the_tests(request: pytest.FixtureRequest) -> None:
    contract = with_factory(Hanging())
    contract.patience = 0.1

    assert "AssertionError: the provider did not end in 0.1 s" == failures(request, contract)[KNOWN]


def test_a_cancelled_call_that_goes_on_is_found() -> None:
    contract = with_factory(Stubborn())

    with pytest.raises(AssertionError, match=r"a cancelled call continued for 1\.\d s"):
        contract().test_a_cancelled_call_ends_at_once(None)  # type: ignore[arg-type]


def test_a_cancelled_call_that_leaves_damage_is_found(request: pytest.FixtureRequest) -> None:
    found = failures(request, with_factory(Broken()))

    assert ["test_a_cancelled_call_ends_at_once"] == list(found)


class Talking(Provider):
    def __init__(self, talk: Callable[[str], None]) -> None:
        self.talk = talk

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        self.talk("login bWU6czNjcjN0LW9mLW1pbmU=")  # me:s3cr3t-of-mine
        return await super().get_credentials(image)


@dataclass
class Showing(Provider):
    password: str = SECRET


@dataclass
class Hiding(Provider):
    password: str = field(default=SECRET, repr=False)


@pytest.mark.parametrize(
    ("provider", "where"),
    [
        (Talking(print), "the output"),
        (Talking(logging.getLogger("plugin").debug), "the log"),
        (Showing(), "repr or str of Showing"),
        (answering(known_only(key=f"{SECRET}@known.test")), "repr or str of ProvidedCredentials"),
    ],
)
def test_a_secret_that_shows_is_found_and_not_repeated(
    request: pytest.FixtureRequest, provider: Any, where: str
) -> None:
    found = failures(request, with_factory(provider))

    assert {"test_no_secret_is_shown": f"AssertionError: a secret is in {where}"} == found


def test_a_secret_in_a_warning_is_found(request: pytest.FixtureRequest) -> None:
    def factory(context: PluginContext) -> Any:
        context.warn(f"the password is {SECRET}")
        return make(context)

    found = failures(request, type("Contract", (TestOfAGoodPlugin,), {"factory": factory}))

    assert {"test_no_secret_is_shown": "AssertionError: a secret is in a warning"} == found


def test_a_secret_that_does_not_show_is_fine(request: pytest.FixtureRequest) -> None:
    assert {} == failures(request, with_factory(Hiding()))


@pytest.mark.parametrize(
    ("factory", "test", "text"),
    [
        (lambda _: Provider(), "test_without_options_it_is_not_configured", "must return NotConfigured, not Provider"),
        (
            lambda _: NotConfigured(why=" "),
            "test_without_options_it_is_not_configured",
            "NotConfigured.why must not be empty",
        ),
        (lambda _: Provider(), "test_an_unknown_option_is_refused_by_name", "an unknown option must raise UsageError"),
    ],
)
def test_a_factory_that_takes_anything_is_found(
    request: pytest.FixtureRequest, factory: Any, test: str, text: str
) -> None:
    contract = type("Contract", (TestOfAGoodPlugin,), {"factory": factory})

    assert text in failures(request, contract)[test]


def test_an_unknown_option_that_is_not_named_is_found(request: pytest.FixtureRequest) -> None:
    def factory(context: PluginContext) -> Any:
        if set(context.options) - {"host"}:
            raise UsageError(["bad options"])
        return make(context)

    found = failures(request, type("Contract", (TestOfAGoodPlugin,), {"factory": factory}))

    assert ["test_an_unknown_option_is_refused_by_name"] == list(found)


def test_the_author_is_told_to_say_the_options() -> None:
    with pytest.raises(NotImplementedError):
        CredentialProviderContract().options(None)  # type: ignore[arg-type]


def test_a_plugin_s_context_shows_neither_options_nor_environment() -> None:
    """Both may hold secrets, and what has a repr is printed one day."""
    context = PluginContext(name="plugin", options={"password": (SECRET,)}, environment={"PASSWORD": SECRET})

    assert SECRET not in repr(context)
