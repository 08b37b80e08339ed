"""Foreign text is logged without secrets, in whatever form they appear."""

import base64
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.text.known_secrets import knowing_secrets, remember_secrets
from nodeprefetch.text.scrub import MAX_LENGTH, scrub

SECRET = "tr0ub4dor&3 =?/"


framings = st.sampled_from(
    [
        lambda s: s,
        lambda s: f'"{s}"',
        lambda s: f"https://user:{s}@host/path",
        lambda s: f"https://host/token?password={s}&x=1",
        lambda s: f'Authorization: Basic "{s}"',
        lambda s: json.dumps({"password": s}),
        lambda s: json.dumps({"password": s}, ensure_ascii=False),
        lambda s: urllib.parse.quote(s, safe="", errors="surrogatepass"),
        lambda s: urllib.parse.quote_plus(s, errors="surrogatepass"),
        lambda s: urllib.parse.quote(s, errors="surrogatepass"),
        lambda s: s * 3,
        lambda s: f"{s}\n{s}",
    ]
)
secrets_ = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="*"), min_size=4, max_size=30)


@given(secret=secrets_, frame=framings, before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_secret_survives_in_any_framing(secret: str, frame: Callable[[str], str], before: str, after: str) -> None:
    framed = frame(secret)

    shown = scrub(before + framed + after, [secret])

    assert secret not in shown
    assert framed not in shown


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=8, max_size=30),
    before=st.binary(max_size=4),
    after=st.binary(max_size=4),
    altchars=st.sampled_from([b"+/", b"-_"]),
    padded=st.booleans(),
)
def test_no_secret_survives_inside_base64(
    secret: str,
    before: bytes,
    after: bytes,
    altchars: bytes,
    padded: bool,  # noqa: FBT001
) -> None:
    """With up to two bytes on either side the digits of the secret shift; those in its middle stay the same."""
    digits = base64.b64encode(before + secret.encode() + after, altchars).decode()

    shown = scrub(f"sent {digits if padded else digits.rstrip('=')}!", [secret])

    assert "sent ***!" == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text: nothing secret", "plain text: nothing secret"),
        (
            'Get "https://auth.example.com/token?account=joe&scope=repository%3Aa%3Apull": EOF',
            'Get "https://auth.example.com/token?…": EOF',
        ),
        ("from GET request to https://h/t?a=b: 401", "from GET request to https://h/t?…: 401"),
        ('Head "https://joe:pa55@h:5000/v2/": EOF', 'Head "https://***@h:5000/v2/": EOF'),
        ("docker://quay.io/a@sha256:12 is kept", "docker://quay.io/a@sha256:12 is kept"),
        ("https://@h/", "https://@h/"),
        ("https://h/#frag", "https://h/?…"),
        ('invalid decoded auth: "joe_pa55"', 'invalid decoded auth: "***"'),
        ('x: invalid decoded auth: "jo\\"e" y', 'x: invalid decoded auth: "***" y'),
        ('invalid decoded auth: "cut off in the mid', 'invalid decoded auth: "***"'),
        ("invalid decoded auth: joe pa55", 'invalid decoded auth: "***"'),
        ("sent Bearer abc123DEF456 there", "sent Bearer *** there"),
        ("sent Basic am9lOnBhNTU= there", "sent Basic *** there"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("map[Authorization:[Basic am9l]]", "map[Authorization:[Basic ***]]"),
        ("proxy-authorization=secretive x", "proxy-authorization=*** x"),
        ("Authorization: QWxhZGRpbjpvcGVuc2VzYW1l", "Authorization: ***"),
        ("authorization: 0123456789abcdef: denied", "authorization: *** denied"),
        ("authorization: NTLM TlRMTVNTUAAB", "authorization: NTLM ***"),
        ("authorization: token abcdefghij x", "authorization: token *** x"),
        ("authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, y", "authorization: AWS4-HMAC-SHA256 ***, y"),
        ('{"Authorization":"secretive"}', '{"Authorization":"***"}'),
        ("Proxy-Authorization: secretive", "Proxy-Authorization: ***"),
        ("Authorization: Bearer tokens", "Authorization: Bearer tokens"),
        ("authorization: basic auth credentials missing", "authorization: basic auth credentials missing"),
        ("401 Basic challenge, no basic auth credentials", "401 Basic challenge, no basic auth credentials"),
        ("Requesting bearer token: received 403", "Requesting bearer token: received 403"),
        ('{"access_token":"abc","expires":1}', '{"access_token":"***","expires":1}'),
        ("h/path?x=1&refresh_token=abc&y=2", "h/path?x=1&refresh_token=***&y=2"),
        ("failed to fetch oauth token: unexpected status", "failed to fetch oauth token: unexpected status"),
        ("invalid username/password: unauthorized", "invalid username/password: unauthorized"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln end", "jwt *** end"),
        ("403 Forbidden\n\ndenied\r\n", "403 Forbidden | denied"),
        ("a\x1b[31mred\x00\u202e", "a\\x1b[31mred\\x00\\u202e"),
    ],
)
def test_what_is_secret_by_its_place_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert shown == scrub(text)


RECORDED = json.loads((Path(__file__).parents[1] / "data" / "pull-errors.json").read_text(encoding="utf-8"))


def test_of_what_runtimes_say_only_credentials_are_masked() -> None:
    """Texts as they were recorded. One quotes a malformed credential."""
    masked = {row["text"] for row in RECORDED if "***" in scrub(row["text"])}

    assert [] == [text for text in masked if "invalid decoded auth" not in text]


@pytest.mark.parametrize("secret", ['"quoted"', "back\\slash", "<&>x", "ümläut", "new\nline"])
def test_an_escaped_secret_is_masked_as_a_whole(secret: str) -> None:
    """As Go and JSON quote it, with all characters or ASCII alone, and with those escaped that HTML knows."""
    for quoted in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        for html in (quoted, quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")):
            assert 'say "***"' == scrub(f"say {html}", [secret])


def test_a_long_text_loses_its_middle() -> None:
    shown = scrub("begin " + "x " * 5000 + "end")

    assert MAX_LENGTH == len(shown)
    assert shown.startswith("begin x x")
    assert " … " in shown
    assert shown.endswith("x end")


def test_a_secret_at_the_cut_is_gone_before_the_cut() -> None:
    for offset in range(20):
        shown = scrub("x" * (1390 + offset) + SECRET + "y" * 3000, [SECRET])

        assert SECRET[:4] not in shown


def test_a_short_secret_does_not_tear_the_text() -> None:
    assert "all is said" == scrub("all is said", ["", "a", "is"])


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert "*** and ***" == scrub("longsecret and long", ["long", "longsecret"])


async def test_a_secret_is_masked_from_when_it_is_handed_out_in_all_tasks_and_threads() -> None:
    with knowing_secrets():
        assert "say hunter2-of-joe" == scrub("say hunter2-of-joe")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, remember_secrets, ["hunter2-of-joe"])

        assert "say ***" == scrub("say hunter2-of-joe")
        assert "say ***" == await trio.to_thread.run_sync(scrub, "say hunter2-of-joe")
    assert "say hunter2-of-joe" == scrub("say hunter2-of-joe")


@given(st.text(max_size=4000))
def test_what_is_shown_is_one_short_line_of_visible_characters(text: str) -> None:
    shown = scrub(text)

    assert shown.isprintable()
    assert len(shown) <= MAX_LENGTH
