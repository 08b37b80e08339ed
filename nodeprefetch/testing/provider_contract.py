"""The contract of credential plugins, as a test class that their authors inherit. It needs only pytest."""

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
from nodeprefetch.testing.provider_calls import PluginAnswers, ask_each, ask_one, is_blocking, matches, run_within
from nodeprefetch.values.image_ref import ImageRef

if TYPE_CHECKING:
    import pytest

CALLS_AT_ONCE = 8
PROMPT = 1.0
"""Seconds within which a cancelled call must end."""

_UNKNOWN_OPTION = "no-such-option"
_DIGEST = "sha256:" + 64 * "a"


class CredentialProviderContract:
    """The tests that every credential plugin must pass. Inherit it in a class whose name begins with `Test`.

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
    """The factory that the entry point loads."""

    known_image: ClassVar[str]
    """An image, without tag and digest, for which the plugin has credentials with these options."""

    unknown_image: ClassVar[str]
    """An image for which it has none."""

    secrets: ClassVar[Collection[str]]
    """All passwords and tokens in its configuration, long enough not to appear by chance."""

    works_without_options: ClassVar[bool] = False
    """True for a plugin that needs no options: skips the test without options."""

    patience: ClassVar[float] = 30.0
    """Seconds after which a call counts as hanging."""

    def options(self, directory: Path) -> Mapping[str, str | Sequence[str]]:
        """Return the options with which the plugin works: each key with its value or values.

        Args:
            directory: an empty directory of this test, for files that the options name.
        """
        raise NotImplementedError

    def environment(self, directory: Path) -> Mapping[str, str]:  # noqa: ARG002 - for those who override it
        """Return the environment variables that the factory sees; none by default."""
        return {}

    def test_the_factory_makes_providers(self, tmp_path: Path) -> None:
        """Each has `get_credentials`, and `name`, `matches` and `is_local` are valid if present."""
        for provider in self._make(tmp_path):
            who = type(provider).__name__
            _expect(callable(getattr(provider, "get_credentials", None)), f"{who} has no get_credentials")
            name = getattr(provider, "name", "a name")
            _expect(isinstance(name, str) and bool(name), f"{who}: name must be a non-empty str, not {name!r}")
            is_local = getattr(provider, "is_local", False)
            _expect(isinstance(is_local, bool), f"{who}: is_local must be a bool, not {is_local!r}")
            wants = getattr(provider, "matches", lambda _image: True)
            for image in (self.known_image, self.unknown_image):
                wanted = wants(ImageRef.parse(image))
                _expect(isinstance(wanted, bool), f"{who}: matches({image}) must return a bool, not {wanted!r}")

    def test_a_known_image_gets_credentials_under_keys_that_match(self, tmp_path: Path) -> None:
        """The answers have the right types, and their secrets are those in `secrets`."""
        answers = self._ask(self._make(tmp_path), self.known_image)
        _check_answers(answers)
        _expect(bool(answers.used), f"no credential has a key that matches {self.known_image}")
        found = {secret for entry in answers.used for secret in entry.auth.secrets}
        _expect(bool(found), f"no credential for {self.known_image} has a password or token")
        _expect(found <= set(self.secrets), f"{type(self).__name__}.secrets must contain all returned secrets")

    def test_an_unknown_image_gets_none(self, tmp_path: Path) -> None:
        """An unknown image is not an error."""
        answers = self._ask(self._make(tmp_path), self.unknown_image)
        _check_answers(answers)
        keys = [entry.key for entry in answers.used]
        _expect(not keys, f"{self.unknown_image} must get no credentials, but got those with the keys {keys}")

    def test_tag_and_digest_change_nothing(self, tmp_path: Path) -> None:
        """Credentials are for repositories: use `ImageRef.lookup_name`."""
        providers = self._make(tmp_path)
        for image in (self.known_image, self.unknown_image):
            plain = self._ask(providers, image)
            for suffix in (":1.2", f"@{_DIGEST}", f":1.2@{_DIGEST}"):
                name = image + suffix
                _expect(plain.used == self._ask(providers, name).used, f"{name} gets other credentials than {image}")

    def test_asking_again_gives_the_same(self, tmp_path: Path) -> None:
        """The same provider, and another one created with the same options, return the same credentials."""
        providers, others = self._make(tmp_path), self._make(tmp_path)
        first = self._ask(providers, self.known_image).used
        self._ask(providers, self.unknown_image)
        _expect(first == self._ask(providers, self.known_image).used, "a second call returned other credentials")
        _expect(first == self._ask(others, self.known_image).used, "a second provider returned other credentials")

    def test_asking_for_several_images_at_once_gives_the_same(self, tmp_path: Path) -> None:
        """Concurrent calls for the known and the unknown image do not interfere."""
        providers = self._make(tmp_path)
        alone = self._ask(providers, self.known_image).used

        async def ask_at_once() -> list[PluginAnswers]:
            found: list[PluginAnswers] = []

            async def ask(image: str) -> None:
                found.append(await ask_each(providers, ImageRef.parse(image)))

            async with trio.open_nursery() as nursery:
                for image in CALLS_AT_ONCE * (self.known_image, self.unknown_image):
                    nursery.start_soon(ask, image)
            return found

        for answers in run_within(self.patience, ask_at_once):
            _check_answers(answers)
            expected = alone if answers.image.text == self.known_image else ()
            _expect(expected == answers.used, f"concurrent calls returned other credentials for {answers.image.text}")

    def test_a_cancelled_call_ends_at_once(self, tmp_path: Path) -> None:
        """It ends if cancelled before it begins or while it waits; afterwards the provider works as before.

        A blocking provider is skipped: its thread is abandoned.
        """
        image = ImageRef.parse(self.known_image)
        for provider in self._make(tmp_path):
            if is_blocking(provider) or not matches(provider, image):
                continue
            before = run_within(self.patience, partial(ask_one, provider, image))
            for wait_first in (False, True):
                seconds = run_within(self.patience, partial(_seconds_to_cancel, provider, image, wait_first=wait_first))
                _expect(seconds < PROMPT, f"a cancelled call continued for {seconds:.1f} s")
            after = run_within(self.patience, partial(ask_one, provider, image))
            _expect(before.entries == after.entries, "after a cancelled call the credentials differ")

    def test_no_secret_is_shown(
        self, tmp_path: Path, caplog: "pytest.LogCaptureFixture", capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        """No secret is in a repr or str, a warning, the log or the output."""
        warnings: list[str] = []
        with caplog.at_level(logging.DEBUG):
            providers = self._make(tmp_path, warnings)
            answers = self._ask(providers, self.known_image)
            self._ask(providers, self.unknown_image)
        shown = {
            "a warning": "\n".join(warnings),
            "the log": caplog.text,
            "the output": "".join(capfd.readouterr()),
            "the context": repr(self._context(tmp_path, warnings)),
        }
        for one in (*providers, *answers.each, *(entry for answer in answers.each for entry in answer.entries)):
            shown[f"repr or str of {type(one).__name__}"] = f"{one!r} {one}"
        logins = [f"{entry.auth.username}:{entry.auth.password}" for entry in answers.used if entry.auth.password]
        for secret in (*self.secrets, *(base64.b64encode(login.encode()).decode() for login in logins)):
            for where, text in shown.items():
                _expect(secret not in text, f"a secret is in {where}")

    def test_without_options_it_is_not_configured(self) -> None:
        """A plugin that is only installed does nothing, and says which options it needs."""
        if self.works_without_options:
            return
        made = type(self).factory(PluginContext(name="plugin"))
        if not isinstance(made, NotConfigured):
            kind = type(made).__name__
            raise AssertionError(f"without options the factory must return NotConfigured, not {kind}")  # noqa: TRY004
        _expect(bool(made.why.strip()), "NotConfigured.why must not be empty")

    def test_an_unknown_option_is_refused_by_name(self, tmp_path: Path) -> None:
        """A mistyped option is an error, with valid options and alone."""
        for known in (self._context(tmp_path, []).options, {}):
            options = {**known, _UNKNOWN_OPTION: ("x",)}
            context = PluginContext(name="plugin", options=options, environment=self.environment(tmp_path))
            try:
                type(self).factory(context)
            except UsageError as error:
                _expect(_UNKNOWN_OPTION in str(error), f"the UsageError must name the option, but says: {error}")
            else:
                raise AssertionError("an unknown option must raise UsageError; see PluginContext.allow_options")

    def _context(self, directory: Path, warnings: list[str]) -> PluginContext:
        given = self.options(directory)
        options = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in given.items()}
        environment = self.environment(directory)
        return PluginContext(name="plugin", options=options, environment=environment, warn=warnings.append)

    def _make(self, directory: Path, warnings: list[str] | None = None) -> list[AnyProvider]:
        made = type(self).factory(self._context(directory, [] if warnings is None else warnings))
        if isinstance(made, NotConfigured):
            raise AssertionError(f"with these options the plugin is not configured: {made.why}")  # noqa: TRY004
        providers = list(made) if isinstance(made, Sequence) else [made]
        _expect(bool(providers), "the factory returned no provider; it must return NotConfigured instead")
        return providers

    def _ask(self, providers: Sequence[AnyProvider], image: str) -> PluginAnswers:
        return run_within(self.patience, partial(ask_each, providers, ImageRef.parse(image)))


async def _seconds_to_cancel(provider: AnyProvider, image: ImageRef, *, wait_first: bool) -> float:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_one, provider, image)
        if wait_first:
            await trio.testing.wait_all_tasks_blocked()
        cancelled_at = time.perf_counter()
        nursery.cancel_scope.cancel()
    return time.perf_counter() - cancelled_at


def _check_answers(answers: PluginAnswers) -> None:
    for answer in answers.each:
        _check_types(answer)
        ring = Keyring(answer.entries)
        _expect(not ring.unusable_keys, f"keys must be a host or host/path: {ring.unusable_keys}")
        if answer.cache_key_type is CacheKeyType.IMAGE:
            used = ring.lookup(answers.image)
            useless = [entry.key for entry in answer.entries if entry not in used]
            _expect(not useless, f"an answer for {answers.image.text} only has keys that do not match it: {useless}")


def _check_types(answer: ProvidedCredentials) -> None:
    _expect(isinstance(answer.entries, tuple), f"entries must be a tuple, not {type(answer.entries).__name__}")
    for entry in answer.entries:
        _expect(isinstance(entry, KeyringEntry), f"an entry must be a KeyringEntry, not {type(entry).__name__}")
        _expect(isinstance(entry.key, str), f"a key must be a str, not {type(entry.key).__name__}")
        _expect(isinstance(entry.auth, AuthConfig), f"an auth must be an AuthConfig, not {type(entry.auth).__name__}")
        for field in ("username", "password", "identity_token"):
            value = getattr(entry.auth, field)
            _expect(isinstance(value, str), f"the {field} under {entry.key} must be a str, not {type(value).__name__}")
    key_type, seconds = answer.cache_key_type, answer.cache_duration
    _expect(isinstance(key_type, CacheKeyType), f"cache_key_type must be a CacheKeyType, not {key_type!r}")
    is_duration = type(seconds) in (int, float) and seconds is not None and 0 <= seconds < math.inf
    _expect(seconds is None or is_duration, f"cache_duration must be None or seconds, not {seconds!r}")


def _expect(claim: bool, otherwise: str) -> None:  # noqa: FBT001 - used like assert, whose message pytest would not show here
    if not claim:
        raise AssertionError(otherwise)
