"""The fake registry's gatekeeper: who is let in, with what challenge."""

import base64
import json
from http import HTTPStatus

import pytest

from nodeprefetch.testing.tokens import Gatekeeper, Realm

URL = "http://here"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def bearer(gatekeeper: Gatekeeper, authorization: str = "", **parameters: str) -> str:
    verdict, document = gatekeeper.issue(authorization, {key: [value] for key, value in parameters.items()})
    assert HTTPStatus.OK == verdict.status
    return f"Bearer {json.loads(document)['token']}"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gatekeeper() -> Gatekeeper:
    keeper = Gatekeeper()
    keeper.add(Realm(scheme="Basic", users={"ann": "1"}))
    keeper.add(Realm(scheme="Basic", prefix="team/app", users={"bob": "2"}))
    return keeper


@pytest.fixture
def issuer() -> Gatekeeper:
    keeper = Gatekeeper(Clock())
    keeper.add(
        Realm(
            scheme="Bearer",
            users={"ann": "1", "bob": "2"},
            rights={"bob": ["team"]},
            identity_tokens={"refresh": "bob"},
            token_lifetime=60,
        )
    )
    return keeper


def test_without_a_realm_everyone_is_let_in() -> None:
    assert HTTPStatus.OK == Gatekeeper().judge("", "any", URL).status
    assert HTTPStatus.OK == Gatekeeper().judge_ping("", URL).status


@pytest.mark.parametrize(
    ("authorization", "repository", "status"),
    [
        ("", "other", 401),
        (basic("ann", "1"), "other", 200),
        (basic("ann", "2"), "other", 401),
        (basic("ann", "1"), "team/app", 401),
        (basic("bob", "2"), "team/app", 200),
        (basic("bob", "2"), "team/app/part", 200),
        (basic("bob", "2"), "team/application", 401),
        (basic("", ""), "other", 401),
        ("Basic !", "other", 401),
        ("Basic /w==", "other", 401),
        ("Bearer x", "other", 401),
    ],
)
def test_the_longest_prefix_says_whose_login_counts(
    gatekeeper: Gatekeeper, authorization: str, repository: str, status: int
) -> None:
    assert status == gatekeeper.judge(authorization, repository, URL).status


def test_a_user_without_the_right_is_forbidden() -> None:
    keeper = Gatekeeper()
    keeper.add(Realm(scheme="Basic", users={"ann": "1"}, rights={"ann": ["mine"]}))

    assert HTTPStatus.FORBIDDEN == keeper.judge(basic("ann", "1"), "theirs", URL).status
    assert HTTPStatus.OK == keeper.judge(basic("ann", "1"), "mine/app", URL).status


def test_basic_is_challenged_by_basic(gatekeeper: Gatekeeper) -> None:
    assert 'Basic realm="fake registry"' == gatekeeper.judge("", "other", URL).challenge


def test_a_ping_wants_some_login(gatekeeper: Gatekeeper, issuer: Gatekeeper) -> None:
    assert HTTPStatus.UNAUTHORIZED == gatekeeper.judge_ping("", URL).status
    assert "bob" == gatekeeper.judge_ping(basic("bob", "2"), URL).user
    assert "Bearer realm" in issuer.judge_ping(basic("ann", "1"), URL).challenge
    assert "ann" == issuer.judge_ping(bearer(issuer, basic("ann", "1")), URL).user


def test_bearer_is_challenged_with_the_scope_that_is_wanted(issuer: Gatekeeper) -> None:
    wanted = 'Bearer realm="http://here/token",service="fake-registry",scope="repository:team/app:pull"'

    assert wanted == issuer.judge("", "team/app", URL).challenge


def test_a_token_is_for_its_repository_alone(issuer: Gatekeeper) -> None:
    token = bearer(issuer, basic("ann", "1"), scope="repository:a:pull repository:host:80/b:pull,push")

    assert [200, 200, 401] == [issuer.judge(token, name, URL).status for name in ("a", "host:80/b", "c")]
    assert 'error="insufficient_scope"' in issuer.judge(token, "c", URL).challenge


@pytest.mark.parametrize("scope", ["repository:a:push", "registry:catalog:*", "a"])
def test_another_scope_gives_no_right_to_pull(issuer: Gatekeeper, scope: str) -> None:
    assert HTTPStatus.UNAUTHORIZED == issuer.judge(bearer(issuer, basic("ann", "1"), scope=scope), "a", URL).status


def test_a_token_expires(issuer: Gatekeeper) -> None:
    token = bearer(issuer, basic("ann", "1"), scope="repository:a:pull")

    issuer._clock.now = 59.9
    assert "ann" == issuer.judge(token, "a", URL).user
    issuer._clock.now = 60
    assert 'error="invalid_token"' in issuer.judge(token, "a", URL).challenge


@pytest.mark.parametrize(
    "login",
    [
        {"grant_type": "password", "username": "bob", "password": "2"},
        {"grant_type": "refresh_token", "refresh_token": "refresh"},
    ],
)
def test_a_form_logs_in(issuer: Gatekeeper, login: dict[str, str]) -> None:
    token = bearer(issuer, scope="repository:team/app:pull", **login)

    assert "bob" == issuer.judge(token, "team/app", URL).user
    assert "bob" == issuer.user_named(token)


@pytest.mark.parametrize(
    ("authorization", "form"),
    [
        (basic("bob", "3"), {}),
        ("", {"grant_type": ["password"], "username": ["bob"], "password": ["3"]}),
        ("", {"grant_type": ["refresh_token"], "refresh_token": ["other"]}),
    ],
)
def test_a_wrong_login_gets_no_token(issuer: Gatekeeper, authorization: str, form: dict[str, list[str]]) -> None:
    verdict, document = issuer.issue(authorization, form)

    assert HTTPStatus.UNAUTHORIZED == verdict.status
    assert b"token" not in document


@pytest.mark.parametrize("authorization", ["", basic("bob", "2")])
def test_a_token_without_the_right_opens_nothing(issuer: Gatekeeper, authorization: str) -> None:
    token = bearer(issuer, authorization, scope="repository:other:pull")

    assert 'error="insufficient_scope"' in issuer.judge(token, "other", URL).challenge


def test_a_token_for_an_open_repository_is_given_to_everyone() -> None:
    keeper = Gatekeeper()

    assert HTTPStatus.OK == keeper.judge(bearer(keeper, scope="repository:open:pull"), "open", URL).status


def test_passwords_do_not_show_in_a_repr() -> None:
    assert "secret" not in repr(Realm(scheme="Basic", users={"ann": "secret"}, identity_tokens={"secret": "ann"}))
