"""The contract of credential plugins, as a test class that their authors inherit. Needs pytest and nothing else."""

import base64
import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import trio
import trio.testing

from nodeprefetch.credentials.api import (
    AnyProvider,
    CacheKeyType,
    NotConfigured,
    PluginContext,
    ProvidedCredentials,
    ProviderFactory,
)
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.testing.provider_calls import Answers, ask_each, ask_one, is_blocking, run_within, wants
from nodeprefetch.values.image_ref import ImageRef

if TYPE_CHECKING:
    import pytest

CALLS_AT_ONCE = 8
PROMPT = 1.0
"""Seconds in which a cancelled call has to end."""

_UNKNOWN_OPTION = "no-such-option"
_DIGEST = "sha256:" + 64 * "a"


class CredentialProviderContract:
    """What every credential plugin has to keep. Inherit it in a class whose name begins with `Test`.

    For example::

        class TestMyPlugin(CredentialProviderContract):
            factory = make_provider
            known_image = "registry.test/team/app"
            unknown_image = "other.test/app"
            secrets = ("hunter2",)

            def options(self, directory):
                (directory / "password").write_text("hunter2")
                return {"file": str(directory / "password")}
    """

    factory: ClassVar[ProviderFactory]
    """What the entry point loads."""

    known_image: ClassVar[str]
    """The name of an image, without tag and digest, that the plugin as configured here has credentials for."""

    unknown_image: ClassVar[str]
    """One that it has none for."""

    secrets: ClassVar[Collection[str]]
    """All passwords and tokens it was configured with; long enough not to appear by chance."""

    works_without_options: ClassVar[bool] = False
    """True for a plugin that needs to be told nothing: what it makes of no options is then not looked at."""

    patience: ClassVar[float] = 30.0
    """Seconds after which a provider is taken to hang."""

    def options(self, directory: Path) -> Mapping[str, str | Sequence[str]]:
        """The options under which the plugin works: every key with its value or values.

        Args:
            directory: empty, of this test alone, for files that the options name.
        """
        raise NotImplementedError

    def environment(self, directory: Path) -> Mapping[str, str]:  # noqa: ARG002 - for those who override it
        """Environment variables that the factory sees; none unless overridden."""
        return {}

    def test_the_factory_makes_providers(self, tmp_path: Path) -> None:
        """Each has `get_credentials`, and `name`, `matches` and `is_local` as they have to be where it has them."""
        for provider in self._make(tmp_path):
            who = type(provider).__name__
            _expect(callable(getattr(provider, "get_credentials", None)), f"{who} has no get_credentials")
            name = getattr(provider, "name", "a name")
            _expect(isinstance(name, str) and bool(name), f"{who}: its name is no text or empty: {name!r}")
            is_local = getattr(provider, "is_local", False)
            _expect(isinstance(is_local, bool), f"{who}: is_local is neither True nor False: {is_local!r}")
            matches = getattr(provider, "matches", lambda _image: True)
            for image in (self.known_image, self.unknown_image):
                wanted = matches(ImageRef.parse(image))
                _expect(isinstance(wanted, bool), f"{who}: matches({image}) is neither True nor False: {wanted!r}")

    def test_a_known_image_gets_credentials_under_keys_that_match(self, tmp_path: Path) -> None:
        """And the answers are made of the right types; their secrets are those that the test declares."""
        answers = self._ask(self._make(tmp_path), self.known_image)
        _check_answers(answers)
        _expect(bool(answers.used), f"there is no credential under a key that matches {self.known_image}")
        found = {secret for entry in answers.used for secret in entry.auth.secrets}
        _expect(bool(found), f"no credential for {self.known_image} has a password or token")
        _expect(found <= set(self.secrets), f"{type(self).__name__}.secrets does not hold all that are answered")

    def test_an_unknown_image_gets_none(self, tmp_path: Path) -> None:
        """Not to know an image is no error."""
        answers = self._ask(self._make(tmp_path), self.unknown_image)
        _check_answers(answers)
        keys = [entry.key for entry in answers.used]
        _expect(not keys, f"{self.unknown_image} should get no credentials, and gets those under {keys}")

    def test_tag_and_digest_change_nothing(self, tmp_path: Path) -> None:
        """Credentials are for repositories: an image is looked up by `lookup_name`."""
        providers = self._make(tmp_path)
        for image in (self.known_image, self.unknown_image):
            plain = self._ask(providers, image)
            for suffix in (":1.2", f"@{_DIGEST}", f":1.2@{_DIGEST}"):
                name = image + suffix
                _expect(plain.used == self._ask(providers, name).used, f"{name} gets others than {image}")

    def test_asking_again_gives_the_same(self, tmp_path: Path) -> None:
        """The same provider, and another one made alike."""
        providers, others = self._make(tmp_path), self._make(tmp_path)
        first = self._ask(providers, self.known_image).used
        self._ask(providers, self.unknown_image)
        _expect(first == self._ask(providers, self.known_image).used, "a second call gives other credentials")
        _expect(first == self._ask(others, self.known_image).used, "a second provider gives other credentials")

    def test_asking_for_several_images_at_once_gives_the_same(self, tmp_path: Path) -> None:
        """Calls for the known and the unknown image side by side do not disturb each other."""
        providers = self._make(tmp_path)
        alone = self._ask(providers, self.known_image).used

        async def ask_at_once() -> list[Answers]:
            found: list[Answers] = []

            async def ask(image: str) -> None:
                found.append(await ask_each(providers, ImageRef.parse(image)))

            async with trio.open_nursery() as nursery:
                for image in CALLS_AT_ONCE * (self.known_image, self.unknown_image):
                    nursery.start_soon(ask, image)
            return found

        for answers in run_within(self.patience, ask_at_once):
            _check_answers(answers)
            expected = alone if answers.image.text == self.known_image else ()
            _expect(expected == answers.used, f"asked beside others, {answers.image.text} gets other credentials")

    def test_a_cancelled_call_ends_at_once(self, tmp_path: Path) -> None:
        """Cancelled before it begins and while it waits; afterwards the provider works as before.

        A provider that blocks is left to itself in its thread, so there is nothing it could do wrong.
        """
        image = ImageRef.parse(self.known_image)
        for provider in self._make(tmp_path):
            if is_blocking(provider) or not wants(provider, image):
                continue
            before = run_within(self.patience, partial(ask_one, provider, image))
            for wait_first in (False, True):
                seconds = run_within(self.patience, partial(_seconds_to_cancel, provider, image, wait_first=wait_first))
                _expect(seconds < PROMPT, f"a cancelled call went on for {seconds:.1f} s")
            after = run_within(self.patience, partial(ask_one, provider, image))
            _expect(before.entries == after.entries, "after a cancelled call the credentials are others")

    def test_no_secret_is_shown(
        self, tmp_path: Path, caplog: "pytest.LogCaptureFixture", capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        """Neither in a repr or str, nor in warnings, logs and what is printed."""
        warnings: list[str] = []
        with caplog.at_level(logging.DEBUG):
            providers = self._make(tmp_path, warnings)
            answers = self._ask(providers, self.known_image)
            self._ask(providers, self.unknown_image)
        shown = {
            "a warning": "\n".join(warnings),
            "the log": caplog.text,
            "what is printed": "".join(capfd.readouterr()),
            "the context": repr(self._context(tmp_path, warnings)),
        }
        for one in (*providers, *answers.each, *(entry for answer in answers.each for entry in answer.entries)):
            shown[f"repr or str of {type(one).__name__}"] = f"{one!r} {one}"
        logins = [f"{entry.auth.username}:{entry.auth.password}" for entry in answers.used if entry.auth.password]
        for secret in (*self.secrets, *(base64.b64encode(login.encode()).decode() for login in logins)):
            for where, text in shown.items():
                _expect(secret not in text, f"a secret shows in {where}")

    def test_without_options_it_is_not_configured(self) -> None:
        """A plugin that is merely installed does nothing, and says what it wants to be told."""
        if self.works_without_options:
            return
        made = type(self).factory(PluginContext(name="plugin"))
        if not isinstance(made, NotConfigured):
            kind = type(made).__name__
            raise AssertionError(f"without options the factory makes {kind}, not NotConfigured")  # noqa: TRY004
        _expect(bool(made.why.strip()), "NotConfigured does not say why")

    def test_an_unknown_option_is_refused_by_name(self, tmp_path: Path) -> None:
        """As people mistype: beside good options, and alone."""
        for known in (self._context(tmp_path, []).options, {}):
            options = {**known, _UNKNOWN_OPTION: ("x",)}
            context = PluginContext(name="plugin", options=options, environment=self.environment(tmp_path))
            try:
                type(self).factory(context)
            except UsageError as error:
                _expect(_UNKNOWN_OPTION in str(error), f"the UsageError does not name the option: {error}")
            else:
                raise AssertionError("an unknown option is not refused by UsageError; see PluginContext.allow_options")

    def _context(self, directory: Path, warnings: list[str]) -> PluginContext:
        given = self.options(directory)
        options = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in given.items()}
        environment = self.environment(directory)
        return PluginContext(name="plugin", options=options, environment=environment, warn=warnings.append)

    def _make(self, directory: Path, warnings: list[str] | None = None) -> list[AnyProvider]:
        made = type(self).factory(self._context(directory, [] if warnings is None else warnings))
        if isinstance(made, NotConfigured):
            raise AssertionError(f"with these options it is not configured: {made.why}")  # noqa: TRY004
        providers = list(made) if isinstance(made, Sequence) else [made]
        _expect(bool(providers), "the factory made no provider; it should return NotConfigured")
        return providers

    def _ask(self, providers: Sequence[AnyProvider], image: str) -> Answers:
        return run_within(self.patience, partial(ask_each, providers, ImageRef.parse(image)))


async def _seconds_to_cancel(provider: AnyProvider, image: ImageRef, *, wait_first: bool) -> float:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_one, provider, image)
        if wait_first:
            await trio.testing.wait_all_tasks_blocked()
        cancelled_at = time.perf_counter()
        nursery.cancel_scope.cancel()
    return time.perf_counter() - cancelled_at


def _check_answers(answers: Answers) -> None:
    for answer in answers.each:
        _check_types(answer)
        ring = Keyring(answer.entries)
        _expect(not ring.unusable_keys, f"these keys are no host or host/path: {ring.unusable_keys}")
        if answer.cache_key_type is CacheKeyType.IMAGE:
            used = ring.lookup(answers.image)
            useless = [entry.key for entry in answer.entries if entry not in used]
            _expect(not useless, f"an answer for {answers.image.text} alone has keys that it does not use: {useless}")


def _check_types(answer: ProvidedCredentials) -> None:
    _expect(isinstance(answer.entries, tuple), f"entries is {type(answer.entries).__name__}, not a tuple")
    for entry in answer.entries:
        _expect(isinstance(entry, KeyringEntry), f"an entry is {type(entry).__name__}, not KeyringEntry")
        _expect(isinstance(entry.key, str), f"a key is {type(entry.key).__name__}, not a text")
        _expect(isinstance(entry.auth, AuthConfig), f"an auth is {type(entry.auth).__name__}, not AuthConfig")
        for field in ("username", "password", "identity_token"):
            value = getattr(entry.auth, field)
            _expect(isinstance(value, str), f"the {field} under {entry.key} is {type(value).__name__}, not a text")
    key_type, seconds = answer.cache_key_type, answer.cache_duration
    _expect(isinstance(key_type, CacheKeyType), f"cache_key_type is {key_type!r}, not a CacheKeyType")
    is_duration = type(seconds) in (int, float) and seconds is not None and 0 <= seconds < math.inf
    _expect(seconds is None or is_duration, f"cache_duration is {seconds!r}, not None or seconds")


def _expect(claim: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like assert, whose texts are not shown here
    if not claim:
        raise AssertionError(otherwise)
