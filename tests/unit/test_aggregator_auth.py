"""Who may submit, on virtual time and by a fake API server."""

import os
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.aggregator.access.auth import Anyone, SharedToken, make_authenticator
from nodeprefetch.aggregator.access.caller import Caller
from nodeprefetch.aggregator.access.token_reviews import ServiceAccounts
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.errors import NodeprefetchError, UsageError
from nodeprefetch.text.token_file import TokenFile

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
    takes: float = 1.0
    """Seconds."""

    slow: frozenset[str] = frozenset()
    """Tokens whose review takes twenty seconds."""

    async def review_token(self, token, audience):
        self.asked.append((token, audience))
        await trio.sleep(20 if token in self.slow else self.takes)
        if self.is_down:
            raise NodeprefetchError("connection refused")
        return self.known.get(token, FakeReview(authenticated=False))


def jwt(name):
    return f"eyJhbGciOiJSUzI1NiJ9.{name}.c2ln"


def bearer(name):
    return f"Bearer {jwt(name)}"


@dataclass
class Accounts:
    """What is tried, with the API server behind it and the lines for people."""

    reviewer: FakeReviewer
    said: list[str]
    authenticator: ServiceAccounts

    @property
    def asked(self):
        return len(self.reviewer.asked)

    async def caller(self, name, address="10.0.0.1"):
        return await self.authenticator.authenticate(bearer(name), address)

    async def refused(self, name, address="10.0.0.1"):
        return await refused(self.authenticator, bearer(name), address)

    async def seconds(self, name, address="10.0.0.1"):
        """What it takes to let this one in."""
        began = trio.current_time()
        await self.caller(name, address)
        return trio.current_time() - began


def accounts(**known):
    reviewer, said = FakeReviewer({jwt(name): review for name, review in known.items()}), []
    return Accounts(reviewer, said, ServiceAccounts(reviewer, "aggregator", "prefetch:fetcher", said.append))


async def refused(authenticator, authorization, address="10.0.0.1"):
    with pytest.raises(RefusedError) as caught:
        await authenticator.authenticate(authorization, address)
    return caught.value.status, caught.value.reason


async def test_a_token_of_the_account_is_let_in(autojump_clock):
    tried = accounts(good=FakeReview())

    assert Caller() == await tried.caller("good")
    assert [(jwt("good"), "aggregator")] == tried.reviewer.asked


async def test_a_token_bound_to_a_node_reports_for_that_node_alone(autojump_clock):
    tried = accounts(good=FakeReview(node_name="node-1"))
    caller = await tried.authenticator.authenticate(f"bearer  {jwt('good')}", "")

    caller.check_node("node-1")
    with pytest.raises(RefusedError, match="may only report for node node-1") as caught:
        caller.check_node("node-2")

    assert (403, "wrong_node") == (caught.value.status, caught.value.reason)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        jwt("good"),
        f"Basic {jwt('good')}",
        "Bearer ",
        f"Bearer {jwt('x' * 20_000)}",
        "Bearer abc",
        "Bearer a.b",
        "Bearer a.b.",
        "Bearer a.b.c.d",
        "Bearer a.b c.d",
        "Bearer a.b.\xe9",
    ],
)
async def test_about_what_is_no_token_of_a_service_account_nobody_is_asked(authorization):
    tried = accounts(good=FakeReview())

    assert (401, "unauthorized") == await refused(tried.authenticator, authorization)
    assert 0 == tried.asked


async def test_a_token_nobody_knows_is_refused(autojump_clock):
    assert (401, "unauthorized") == await accounts().refused("bad")


async def test_another_account_is_refused(autojump_clock):
    tried = accounts(other=FakeReview(username="system:serviceaccount:default:default"))

    assert (403, "wrong_account") == await tried.refused("other")


async def test_a_yes_is_believed_for_a_minute(autojump_clock):
    tried = accounts(good=FakeReview())
    for _ in range(70):
        await tried.caller("good")
        await trio.sleep(1)

    assert 2 == tried.asked


@pytest.mark.parametrize("review", [FakeReview(authenticated=False), FakeReview(username="other")])
async def test_a_no_is_believed_for_ten_seconds(autojump_clock, review):
    tried = accounts(bad=review)
    await tried.refused("bad")
    await trio.sleep(9)
    await tried.refused("bad")
    await trio.sleep(2)
    await tried.refused("bad")

    assert 2 == tried.asked


async def test_a_token_that_is_no_longer_good_is_refused(autojump_clock):
    """Asked about again after its minute."""
    tried = accounts(good=FakeReview())
    await tried.caller("good")
    tried.reviewer.known.clear()
    await trio.sleep(61)

    assert (401, "unauthorized") == await tried.refused("good")
    assert (401, "unauthorized") == await tried.refused("good")
    assert 2 == tried.asked


async def test_who_is_known_waits_for_no_question_about_others(autojump_clock):
    """Twelve unknown tokens at once take all the places, for ten seconds each."""
    tried = accounts(good=FakeReview())
    await tried.caller("good")
    tried.reviewer.slow = frozenset(jwt(f"slow-{number}") for number in range(100))
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(tried.refused, f"slow-{number}", f"10.0.1.{number}")
        await trio.sleep(5)

        assert 0 == await tried.seconds("good")


async def test_who_was_known_is_asked_about_before_strangers(autojump_clock):
    """The minute is over; a hundred unknown tokens wait. Its question takes the second that an answer takes."""
    tried = accounts(good=FakeReview())
    await tried.caller("good")
    await trio.sleep(61)
    tried.reviewer.slow = frozenset(jwt(f"slow-{number}") for number in range(100))
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(tried.refused, f"slow-{number}", f"10.0.1.{number}")
        await trio.sleep(1)

        assert 1 == await tried.seconds("good")


async def test_fifty_callers_with_one_token_ask_once(autojump_clock):
    tried = accounts(good=FakeReview())
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(tried.caller, "good")

    assert (1, 1) == (tried.asked, trio.current_time())


async def test_all_that_wait_for_one_question_hear_that_it_failed(autojump_clock):
    """Fifty callers: one second, not fifty."""
    tried = accounts(good=FakeReview())
    tried.reviewer.is_down = True
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(tried.refused, "good")

    assert (1, 1) == (tried.asked, trio.current_time())


async def test_who_asks_and_leaves_leaves_the_answer_to_the_others(autojump_clock):
    tried = accounts(good=FakeReview())
    async with trio.open_nursery() as nursery:
        leaving = trio.CancelScope(deadline=0.5)

        async def leave():
            with leaving:
                await tried.caller("good")

        nursery.start_soon(leave)
        await trio.sleep(0.1)

        assert Caller() == await tried.caller("good")

    assert (1, 1) == (tried.asked, trio.current_time())


async def test_unknown_tokens_push_no_good_one_out(autojump_clock, monkeypatch):
    monkeypatch.setattr("nodeprefetch.aggregator.access.token_reviews._CACHED", 100)
    tried = accounts(good=FakeReview())
    await tried.caller("good")
    tried.reviewer.takes = 0
    for number in range(101):
        await tried.refused(f"bad-{number}", f"address {number}")

    asked = tried.asked
    await tried.caller("good")
    assert asked == tried.asked


async def test_of_good_tokens_the_least_used_is_forgotten_first(autojump_clock, monkeypatch):
    monkeypatch.setattr("nodeprefetch.aggregator.access.token_reviews._CACHED", 2)
    tried = accounts(one=FakeReview(), two=FakeReview(), three=FakeReview())
    for name in ("one", "two", "one", "three"):
        await tried.caller(name)

    assert [0, 1] == [await tried.seconds(name) for name in ("one", "two")]


async def test_an_address_is_asked_for_few_unknown_tokens_and_hinders_no_other(autojump_clock):
    """Three at once that are no good, then one a second. Tokens of others are reviewed as before."""
    tried = accounts(good=FakeReview())
    tried.reviewer.takes = 0
    answers = [await tried.refused(f"bad-{number}") for number in range(100)]
    await trio.sleep(1)
    later = [await tried.refused(f"worse-{number}") for number in range(2)]

    assert [(401, "unauthorized")] * 3 + [(429, "too_many_tokens")] * 97 == answers
    assert [(401, "unauthorized"), (429, "too_many_tokens")] == later
    assert Caller() == await tried.caller("good", "10.0.0.2")


async def test_an_address_with_good_tokens_may_bring_as_many_as_it_likes(autojump_clock):
    """As behind a proxy: one after another, without a wait."""
    tried = accounts(**{f"t{number}": FakeReview() for number in range(100)})
    tried.reviewer.takes = 0
    for number in range(100):
        await tried.caller(f"t{number}")

    assert 0 == trio.current_time()


async def test_at_most_twelve_unknown_tokens_are_asked_about_at_once(autojump_clock):
    """Each takes a second: thirty-six tokens take three."""
    tried = accounts(**{f"t{number}": FakeReview() for number in range(36)})
    async with trio.open_nursery() as nursery:
        for number in range(36):
            nursery.start_soon(tried.caller, f"t{number}", f"10.0.1.{number}")

    assert 3 == trio.current_time()


async def test_who_cannot_be_asked_about_in_ten_seconds_is_told_so(autojump_clock):
    """Twelve reviews take ten seconds, until they are given up; the thirteenth caller has waited as long."""
    tried = accounts()
    tried.reviewer.slow = frozenset(jwt(f"slow-{number}") for number in range(13))
    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(tried.refused, f"slow-{number}", f"10.0.1.{number}")
        await trio.sleep(0.1)
        with trio.fail_after(20):
            assert (503, "no_review") == await tried.refused("slow-12")


async def test_an_api_server_that_was_lost_and_came_back_is_in_the_log_once_each(autojump_clock):
    tried = accounts(good=FakeReview(), other=FakeReview())
    await tried.caller("good")
    tried.reviewer.is_down = True
    away = [await tried.refused("other") for _ in range(3)]
    tried.reviewer.is_down = False
    back = [await tried.caller("other"), await tried.caller("good")]

    assert ([(503, "no_review")] * 3, [Caller(), Caller()]) == (away, back)
    assert [
        "the API server cannot review tokens: connection refused (new submitters get status 503 until it can)",
        "the API server reviews tokens again",
    ] == tried.said


async def test_an_api_server_without_an_answer_is_given_up_after_eight_seconds(autojump_clock):
    tried = accounts()
    tried.reviewer.slow = frozenset({jwt("slow")})

    assert (503, "no_review") == await tried.refused("slow")
    assert 8 == trio.current_time()


async def test_no_token_is_kept_in_memory(autojump_clock):
    tried = accounts(good=FakeReview())
    await tried.caller("good")
    await tried.refused("bad")

    kept = repr([vars(tried.authenticator)[name] for name in ("_accepted", "_rejected", "_pending")])
    assert "good" not in kept
    assert "c2ln" not in kept


async def test_a_token_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "token"
    path.write_text(" first\n")
    authenticator = SharedToken(TokenFile(path))
    before = await authenticator.authenticate("Bearer first", "")
    path.write_text("second-one")

    assert (Caller(), Caller()) == (before, await authenticator.authenticate("Bearer second-one", ""))
    assert (401, "unauthorized") == await refused(authenticator, "Bearer first")


def become_fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "replace",
    [
        lambda path: path.write_text("\n"),
        lambda path: path.unlink(),
        become_fifo,
        lambda path: path.write_text("x" * 70_000),
    ],
)
async def test_while_a_token_file_is_replaced_the_token_of_before_holds(tmp_path, replace):
    path = tmp_path / "token"
    path.write_text("first")
    authenticator = SharedToken(TokenFile(path))
    replace(path)

    assert Caller() == await authenticator.authenticate("Bearer first", "")
    assert (401, "unauthorized") == await refused(authenticator, "Bearer ")


def test_what_a_mode_needs_is_asked_for(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("two words")
    os.mkfifo(tmp_path / "fifo")
    for settings, text in (
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE), "requires --auth-token-file"),
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "none"), "cannot read token file"),
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "empty"), "is empty"),
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "text"), "not contain a valid bearer"),
        (AggregatorSettings(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "fifo"), "not a regular file"),
        (AggregatorSettings(auth=AuthMode.KUBERNETES), "requires access to the Kubernetes API"),
        (AggregatorSettings(auth_read=True), "--auth-read requires --auth token-file or --auth kubernetes"),
    ):
        with pytest.raises(UsageError, match=text):
            make_authenticator(settings, None, str)
    assert isinstance(make_authenticator(AggregatorSettings(), None, str), Anyone)
    assert isinstance(
        make_authenticator(AggregatorSettings(auth=AuthMode.KUBERNETES), FakeReviewer({}), str), ServiceAccounts
    )
