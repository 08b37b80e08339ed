"""Who may submit and read: nobody asked, a token from a file, or a token the API server vouches for."""

import hmac
from collections.abc import Callable
from typing import Protocol

from nodeprefetch.aggregator.access.callers import Caller, bearer, unauthorized
from nodeprefetch.aggregator.access.token_reviews import ServiceAccounts, TokenReviewer
from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.errors import UsageError
from nodeprefetch.text.token_file import TokenFile


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


class SharedToken:
    """Accepts whoever sends the token of a file.

    Args:
        file: where the token is.
    """

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def caller(self, authorization: str, address: str) -> Caller:  # noqa: ARG002 - from anywhere
        """Who knows the token may report for every node."""
        if not hmac.compare_digest(bearer(authorization).encode(), self._file.token().encode()):
            raise unauthorized("invalid token")
        return Caller()


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
        return SharedToken(TokenFile(settings.auth_token_file))
    if settings.auth is AuthMode.KUBERNETES:
        if reviewer is None:
            raise UsageError(["--auth kubernetes needs an API server to ask about tokens"])
        return ServiceAccounts(reviewer, settings.auth_audience, settings.auth_service_account, log)
    if settings.auth_read:
        raise UsageError(["--auth-read needs --auth token-file or --auth kubernetes: with --auth none anyone can read"])
    return Anyone()
