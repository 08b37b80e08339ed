"""Who may submit and read: nobody asked, a token from a file, or a token the API server vouches for."""

import hmac
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from nodeprefetch.aggregator.access.callers import Caller, bearer, unauthorized
from nodeprefetch.aggregator.access.token_reviews import ServiceAccounts, TokenReviewer
from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.errors import UsageError
from nodeprefetch.text.plain_file import read_plain_file

_LARGEST_FILE = 64 << 10


class Authenticator(Protocol):
    """Tells who sends a request."""

    async def caller(self, authorization: str, address: str) -> Caller:
        """Who it is.

        Args:
            authorization: the header of that name, which may be empty.
            address: where the request comes from.

        Raises:
            RefusedError: nobody known.
        """
        ...


class Anyone:
    """Lets everybody in."""

    async def caller(self, authorization: str, address: str) -> Caller:  # noqa: ARG002 - nobody is asked
        """Somebody."""
        return Caller()


class TokenFile:
    """Lets in who knows the token in a file.

    Args:
        path: read again when it changes.

    Raises:
        UsageError: it cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = b""
        try:
            self._refresh()
        except OSError as error:
            raise UsageError([f"the token file {path} cannot be read: {error.strerror}"]) from error
        if not self._token:
            raise UsageError([f"the token file {path} is empty"])

    async def caller(self, authorization: str, address: str) -> Caller:  # noqa: ARG002 - from anywhere
        """Who knows the token may report for every node."""
        with suppress(OSError):  # while it is being replaced, the token of before holds
            self._refresh()
        if not hmac.compare_digest(bearer(authorization).encode(), self._token):
            raise unauthorized("the token is not the right one")
        return Caller()

    def _refresh(self) -> None:
        status = self._path.stat()
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            token = read_plain_file(self._path, _LARGEST_FILE).strip()
            if token:  # an empty file would let in whoever sends an empty token
                self._token, self._seen = token, seen


def make_authenticator(
    settings: AggregatorSettings, reviewer: TokenReviewer | None, log: Callable[[str], None]
) -> Authenticator:
    """What the settings ask for.

    Args:
        settings: how to serve.
        reviewer: asks the API server about tokens; for `--auth kubernetes`.
        log: takes a line for people.

    Raises:
        UsageError: something it needs is missing.
    """
    if settings.auth is AuthMode.TOKEN_FILE:
        if settings.auth_token_file is None:
            raise UsageError(["--auth token-file needs --auth-token-file"])
        return TokenFile(settings.auth_token_file)
    if settings.auth is AuthMode.KUBERNETES:
        if reviewer is None:
            raise UsageError(["--auth kubernetes needs an API server to ask about tokens"])
        return ServiceAccounts(reviewer, settings.auth_audience, settings.auth_service_account, log)
    if settings.auth_read:
        raise UsageError(["--auth-read needs --auth token-file or --auth kubernetes: with --auth none anyone can read"])
    return Anyone()
