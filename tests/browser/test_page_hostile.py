"""Names and errors come from nodes and registries: they are text, whatever they contain."""

import pytest
from playwright.sync_api import expect

from nodeprefetch.board import AttemptRecord, BoardCause, BoardImage
from tests.browser.conftest import Opener
from tests.support.boards import NOW, board_of, node
from tests.support.scripted_board import ScriptedBoard

pytestmark = pytest.mark.browser

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202egnp.exe\u202c",
    "\u2066\u2067 isolates \u2069",
    "nul \0 bell \a escape \x1b[31m line\nfeed\ttab",
    "\ud7ff\ufeff\u200b\U000e0041",
    "שלום/عربي:1",
    "n" * 1000,
    "&lt;b&gt;&amp;",
    "__proto__",
    "constructor",
    "'; DROP TABLE nodes; --",
    "%00%2e%2e/#?&=",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:30])
def test_hostile_names_are_text(scripted: ScriptedBoard, open_window: Opener, name: str):
    cause = BoardCause(image=name, error_class=name, reason=name, error=name, nodes=1, examples=(name,), is_final=True)
    images = (BoardImage(image=name, size=1, missing=1), BoardImage(image="other"))
    failed = node(name, "fr", zone=name, pool=name, list_digest=name, list_rejected=name, run_end=name, run_started=NOW)
    scripted.board = board_of(failed, node("good", "rr"), images=images, causes=(cause,))
    scripted.attempts = [
        AttemptRecord(
            node=name,
            image=name,
            attempt=1,
            started_at=NOW,
            duration=1,
            run_id=name,
            digest=name,
            credential=name,
            error=name,
            error_class=name,
            reason=name,
        )
    ]
    window = open_window(f"{scripted.url}#group=zone&view=table")
    page = window.page
    expect(page.locator("#causes li")).to_have_count(1)

    page.click("#causes .examples button")
    expect(page.locator("#attempts li")).to_have_count(1)
    page.get_by_label("Show as").select_option("map")
    page.locator("#map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#causes .cause button").click()
    page.reload()
    expect(page.locator("#causes li")).to_have_count(1)

    assert 0 == page.locator("img, svg, iframe, main script, b").count()
    shown = page.locator("body").inner_text()
    assert not [char for char in shown if not char.isprintable() and char not in "\n\t"]
    assert [] == window.cookies
    assert 0 == page.evaluate("localStorage.length + sessionStorage.length")


@pytest.mark.parametrize("name", ["n" * 1000, "wide " * 200, "\u202e" * 300], ids=["long", "words", "escapes"])
@pytest.mark.parametrize("width", [1280, 400])
def test_long_names_do_not_widen_the_page(scripted: ScriptedBoard, open_window: Opener, name: str, width: int):
    cause = BoardCause(image=name, error_class="passing", reason="dns", error=name, nodes=1, examples=(name,))
    scripted.board = board_of(node(name, "f", zone=name, list_rejected=name), images=(name,), causes=(cause,))
    page = open_window(f"{scripted.url}#group=zone", width=width).page
    expect(page.locator("#causes li")).to_have_count(1)

    page.click("#causes .examples button")
    expect(page.locator("#details")).to_be_visible()
    page.locator("canvas").hover(position={"x": 20, "y": 70})

    assert width >= page.evaluate("document.documentElement.scrollWidth")


def test_a_hostile_url_shows_nothing_it_should_not(scripted: ScriptedBoard, open_window: Opener):
    scripted.board = board_of(node("good", "r"), images=("a",))
    page = open_window(
        f"{scripted.url}#open=<img src=x onerror=alert(1)>"
        "&group=constructor&state=__proto__&view=%00&closed=%FF&node=%3Cb%3E"
    ).page

    expect(page.locator("#facts")).to_have_text("Statethe aggregator knows nothing of this node")
    expect(page.locator("#empty")).to_have_text("No node matches these filters.")
    expect(page.get_by_label("State")).to_have_value("")
    assert 0 == page.locator("img").count()
