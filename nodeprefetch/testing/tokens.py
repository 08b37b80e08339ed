"""Authentication of the fake registry: Basic, or Bearer tokens from its own token endpoint.

The token endpoint follows the distribution project's token authentication specification: GET with Basic,
POST with an OAuth 2 form (`grant_type` password or refresh_token).
"""

import base64
import binascii
import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

_LIFETIME = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Realm:
    """How one login works, and for which repositories."""

    scheme: Literal["Basic", "Bearer"]
    prefix: str = ""
    """Repository, or the start of its path up to a slash; empty for all repositories."""

    users: Mapping[str, str] = field(repr=False)
    """User name to password."""

    rights: Mapping[str, Collection[str]] = field(default_factory=dict)
    """User name to the repositories (or path prefixes) it may read; other users may read all."""

    identity_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Refresh token to user name; Bearer only."""

    token_lifetime: float = _LIFETIME
    """Lifetime of a token in seconds."""

    def allows(self, user: str, repository: str) -> bool:
        """Return whether this user may read this repository."""
        if user not in self.users:
            return False
        return any(_is_below(repository, prefix) for prefix in self.rights.get(user, ("",)))

    def user_of(self, username: str, password: str) -> str | None:
        """Return the user with this password; None if the login is wrong."""
        return username if username and self.users.get(username) == password else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The decision about one request."""

    user: str = ""
    status: HTTPStatus = HTTPStatus.OK
    challenge: str = ""
    """For the header WWW-Authenticate, with status 401."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    user: str
    repositories: frozenset[str]
    expires: float


class Gatekeeper:
    """Authorizes requests, and issues and verifies tokens. May be used from several threads.

    Args:
        clock: seconds, for the expiry of tokens.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._realms: list[Realm] = []
        self._tokens: dict[str, _Token] = {}

    def add(self, realm: Realm) -> None:
        """Require a login for the realm's repositories from now on. The longest prefix wins."""
        self._realms.append(realm)
        self._realms.sort(key=lambda each: len(each.prefix), reverse=True)

    def user_named(self, authorization: str) -> str:
        """Return the user of an Authorization header, valid or not; empty if there is none."""
        username, _ = _basic(authorization)
        token = self._token(authorization)
        return token.user if token else username

    def judge_ping(self, authorization: str, url: str) -> Verdict:
        """Judge a request of `/v2/`: a login is required if any repository requires one.

        Args:
            authorization: the header; empty without one.
            url: `http://HOST:PORT` of this registry, for the challenge.
        """
        token = self._token(authorization)
        if not self._realms or token:
            return Verdict(user=token.user if token else "")
        for realm in self._realms:
            if realm.scheme == "Basic" and (user := realm.user_of(*_basic(authorization))):
                return Verdict(user=user)
        challenge = _challenge(self._realms[-1], url)
        return Verdict(status=HTTPStatus.UNAUTHORIZED, challenge=challenge)

    def judge(self, authorization: str, repository: str, url: str) -> Verdict:
        """Judge a request in a repository; arguments as for `judge_ping`."""
        realm = self._realm(repository)
        if realm is None:
            return Verdict()
        if realm.scheme == "Basic":
            user = realm.user_of(*_basic(authorization))
            if user is None:
                return Verdict(status=HTTPStatus.UNAUTHORIZED, challenge=_challenge(realm, url))
            allowed = realm.allows(user, repository)
            return Verdict(user=user, status=HTTPStatus.OK if allowed else HTTPStatus.FORBIDDEN)
        token = self._token(authorization)
        if token and repository in token.repositories:
            return Verdict(user=token.user)
        challenge = _challenge(realm, url, scope=f"repository:{repository}:pull")
        if authorization:
            challenge += f',error="{"insufficient_scope" if token else "invalid_token"}"'
        return Verdict(status=HTTPStatus.UNAUTHORIZED, challenge=challenge)

    def issue(self, authorization: str, parameters: Mapping[str, list[str]]) -> tuple[Verdict, bytes]:
        """Judge a request of the token endpoint.

        Without a login the token gives no rights, as public registries do it.

        Args:
            authorization: the header; empty without one.
            parameters: of the query or of the form.

        Returns:
            The verdict and the JSON document that holds the token.
        """
        scopes = [scope for value in parameters.get("scope", []) for scope in value.split()]
        wanted = _repositories(scopes)
        realms = [realm for realm in map(self._realm, wanted) if realm] or self._realms
        user, is_wrong = self._login(realms, authorization, parameters)
        if is_wrong:
            return Verdict(status=HTTPStatus.UNAUTHORIZED), b'{"errors":[{"code":"UNAUTHORIZED"}]}'
        granted = frozenset(name for name in wanted if self._may_read(user, name))
        lifetime = min((realm.token_lifetime for realm in realms), default=_LIFETIME)
        name = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens[name] = _Token(user=user, repositories=granted, expires=self._clock() + lifetime)
        document = {"token": name, "access_token": name, "expires_in": int(lifetime)}
        return Verdict(user=user), json.dumps(document).encode()

    def _login(
        self, realms: Iterable[Realm], authorization: str, parameters: Mapping[str, list[str]]
    ) -> tuple[str, bool]:
        username, password = _basic(authorization)
        grant = parameters.get("grant_type", [""])[0]
        if grant == "password":
            username = parameters.get("username", [""])[0]
            password = parameters.get("password", [""])[0]
        refresh = parameters.get("refresh_token", [""])[0] if grant == "refresh_token" else ""
        if not (username or refresh):
            return "", False
        for realm in realms:
            user = realm.identity_tokens.get(refresh) if refresh else realm.user_of(username, password)
            if user:
                return user, False
        return username, True

    def _may_read(self, user: str, repository: str) -> bool:
        realm = self._realm(repository)
        return realm is None or realm.allows(user, repository)

    def _realm(self, repository: str) -> Realm | None:
        matching = (realm for realm in self._realms if _is_below(repository, realm.prefix))
        return next(matching, None)

    def _token(self, authorization: str) -> _Token | None:
        scheme, _, name = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        with self._lock:
            token = self._tokens.get(name.strip())
        return token if token and self._clock() < token.expires else None


def _challenge(realm: Realm, url: str, *, scope: str = "") -> str:
    if realm.scheme == "Basic":
        return 'Basic realm="fake registry"'
    return f'Bearer realm="{url}/token",service="fake-registry"' + (f',scope="{scope}"' if scope else "")


def _is_below(repository: str, prefix: str) -> bool:
    prefix = prefix.rstrip("/")
    return not prefix or repository == prefix or repository.startswith(f"{prefix}/")


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return username, password


def _repositories(scopes: Iterable[str]) -> list[str]:
    """`repository:team/app:pull` asks for `team/app`; other kinds of resources do not exist here."""
    found = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "repository" and "pull" in actions.split(","):
            found.append(name)
    return found
