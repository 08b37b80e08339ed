"""Who may submit, on virtual time and by a fake API server."""

from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.aggregator.auth import Anyone, Caller, ServiceAccounts, TokenFile, make_authenticator
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.errors import NodeprefetchError, UsageError

ACCOUNT = "system:serviceaccount:prefetch:fetcher"


@dataclass
class FakeReview:
    authenticated: bool = True
    username: str = ACCOUNT
    node_name: str = ""


@dataclass
class FakeReviewer:
    """Knows some tokens; `asked` has every question."""

    known: dict[str, FakeReview]
    asked: list[tuple[str, str]] = field(default_factory=list)
    is_down: bool = False

    async def review_token(self, token, audience):
        self.asked.append((token, audience))
        await trio.sleep(1)
        if self.is_down:
            raise NodeprefetchError("connection refused")
        return self.known.get(token, FakeReview(authenticated=False))


def accounts(**known):
    reviewer = FakeReviewer(known)
    return ServiceAccounts(reviewer, "aggregator", "prefetch:fetcher"), reviewer


async def refused(authenticator, authorization):
    with pytest.raises(RefusedError) as caught:
        await authenticator.caller(authorization)
    return caught.value.status, caught.value.reason


async def test_a_token_of_the_account_is_let_in(autojump_clock):
    authenticator, reviewer = accounts(good=FakeReview())

    assert Caller() == await authenticator.caller("Bearer good")
    assert [("good", "aggregator")] == reviewer.asked


async def test_a_token_bound_to_a_node_reports_for_that_node_alone(autojump_clock):
    authenticator, _ = accounts(good=FakeReview(node_name="node-1"))
    caller = await authenticator.caller("bearer  good")

    caller.may_report_for("node-1")
    with pytest.raises(RefusedError, match="node node-1 alone") as caught:
        caller.may_report_for("node-2")

    assert (403, "wrong_node") == (caught.value.status, caught.value.reason)


@pytest.mark.parametrize("authorization", ["", "good", "Basic good", "Bearer ", "Bearer " + "x" * 20_000])
async def test_without_a_bearer_token_nobody_is_asked(authorization):
    authenticator, reviewer = accounts(good=FakeReview())

    assert (401, "unauthorized") == await refused(authenticator, authorization)
    assert [] == reviewer.asked


async def test_a_token_nobody_knows_is_refused(autojump_clock):
    authenticator, _ = accounts()

    assert (401, "unauthorized") == await refused(authenticator, "Bearer bad")


async def test_another_account_is_refused(autojump_clock):
    authenticator, _ = accounts(other=FakeReview(username="system:serviceaccount:default:default"))

    assert (403, "wrong_account") == await refused(authenticator, "Bearer other")


async def test_a_yes_is_believed_for_a_minute(autojump_clock):
    authenticator, reviewer = accounts(good=FakeReview())
    for _ in range(70):
        await authenticator.caller("Bearer good")
        await trio.sleep(1)

    assert 2 == len(reviewer.asked)


async def test_a_no_is_believed_for_ten_seconds(autojump_clock):
    authenticator, reviewer = accounts()
    await refused(authenticator, "Bearer bad")
    await trio.sleep(9)
    await refused(authenticator, "Bearer bad")
    await trio.sleep(2)
    await refused(authenticator, "Bearer bad")

    assert 2 == len(reviewer.asked)


async def test_an_api_server_that_is_away_is_told_and_asked_again(autojump_clock):
    authenticator, reviewer = accounts(good=FakeReview())
    reviewer.is_down = True
    away = await refused(authenticator, "Bearer good")
    reviewer.is_down = False

    assert (503, "no_review") == away
    assert Caller() == await authenticator.caller("Bearer good")


async def test_at_most_ten_questions_are_asked_at_once(autojump_clock):
    """Each takes a second: thirty tokens take three."""
    authenticator, _ = accounts(**{f"t{number}": FakeReview() for number in range(30)})
    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(authenticator.caller, f"Bearer t{number}")

    assert 3 == trio.current_time()


async def test_no_token_is_kept_in_memory(autojump_clock):
    authenticator, _ = accounts(good=FakeReview())
    await authenticator.caller("Bearer good")

    assert "good" not in repr(vars(authenticator)["_cache"])


async def test_a_token_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "token"
    path.write_text(" first\n")
    authenticator = TokenFile(path)
    before = await authenticator.caller("Bearer first")
    path.write_text("second-one")

    assert (Caller(), Caller()) == (before, await authenticator.caller("Bearer second-one"))
    assert (401, "unauthorized") == await refused(authenticator, "Bearer first")


@pytest.mark.parametrize("replace", [lambda path: path.write_text("\n"), lambda path: path.unlink()])
async def test_while_a_token_file_is_replaced_the_token_of_before_holds(tmp_path, replace):
    path = tmp_path / "token"
    path.write_text("first")
    authenticator = TokenFile(path)
    replace(path)

    assert Caller() == await authenticator.caller("Bearer first")
    assert (401, "unauthorized") == await refused(authenticator, "Bearer ")


def test_what_a_mode_needs_is_asked_for(tmp_path):
    (tmp_path / "empty").touch()
    for settings, text in (
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE), "needs --auth-token-file"),
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "none"), "cannot be read"),
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "empty"), "is empty"),
        (AggregatorSettings(auth=AuthMode.KUBERNETES), "needs an API server"),
    ):
        with pytest.raises(UsageError, match=text):
            make_authenticator(settings, None)
    assert isinstance(make_authenticator(AggregatorSettings(), None), Anyone)
    assert isinstance(
        make_authenticator(AggregatorSettings(auth=AuthMode.KUBERNETES), FakeReviewer({})), ServiceAccounts
    )
