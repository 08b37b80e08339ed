"""Authenticates requests: not at all, by a shared token from a file, or by service account tokens."""

import hmac
from collections.abc import Callable
from typing import Protocol

from nodeprefetch.aggregator.access.caller import Caller, bearer, unauthorized
from nodeprefetch.aggregator.access.token_reviews import ServiceAccounts, TokenReviewer
from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.errors import UsageError
from nodeprefetch.text.token_file import TokenFile


class Authenticator(Protocol):
    """Finds out who sends a request."""

    async def authenticate(self, authorization: str, address: str) -> Caller:
        """Return the sender of a request.

        Args:
            authorization: the header of that name; may be empty.
            address: the remote address of the request.

        Raises:
            RefusedError: the sender is unknown or not allowed.
        """
        ...


class Anyone:
    """Accepts every request."""

    async def authenticate(self, authorization: str, address: str) -> Caller:  # noqa: ARG002 - not needed
        """Return a caller that may report for every node."""
        return Caller()


class SharedToken:
    """Accepts requests with the token in a file.

    Args:
        file: where the token is.
    """

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def authenticate(self, authorization: str, address: str) -> Caller:  # noqa: ARG002 - from anywhere
        """Return a caller that may report for every node, if the token is right."""
        if not hmac.compare_digest(bearer(authorization).encode(), self._file.token().encode()):
            raise unauthorized("invalid token")
        return Caller()


def make_authenticator(
    settings: AggregatorSettings, reviewer: TokenReviewer | None, log: Callable[[str], None]
) -> Authenticator:
    """Make the authenticator that the settings ask for.

    Args:
        settings: how to serve.
        reviewer: asks the API server about tokens; for `--auth kubernetes`.
        log: logs a line.

    Raises:
        UsageError: something it needs is missing.
    """
    if settings.auth is AuthMode.TOKEN_FILE:
        if settings.auth_token_file is None:
            raise UsageError(["--auth token-file requires --auth-token-file"])
        return SharedToken(TokenFile(settings.auth_token_file))
    if settings.auth is AuthMode.KUBERNETES:
        if reviewer is None:
            raise UsageError(["--auth kubernetes requires access to the Kubernetes API (set --kubeconfig)"])
        return ServiceAccounts(reviewer, settings.auth_audience, settings.auth_service_account, log)
    if settings.auth_read:
        raise UsageError(
            ["--auth-read requires --auth token-file or --auth kubernetes: with --auth none anyone can read"]
        )
    return Anyone()
