"""What the page shows of a board, and how it follows changes."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from nodeprefetch.board import AttemptRecord, BoardCause, BoardChange, BoardImage
from tests.browser.chromium import Window
from tests.browser.conftest import Opener
from tests.support.boards import GIB, NOW, board_of, node, summary_of
from tests.support.scripted_board import ScriptedBoard

pytestmark = pytest.mark.browser

MISSING = BoardCause(
    image="registry.example/team/app:1",
    error_class="permanent",
    reason="not_found",
    error="manifest unknown",
    nodes=2,
    examples=("node-3",),
    is_final=True,
)
IMAGES = ("registry.example/base:1", "registry.example/team/app:1")


def table(page: Page) -> list[list[str]]:
    """The texts of the table behind the map."""
    rows = page.locator("#body tr").all()
    return [[cell.text_content() or "" for cell in row.locator("th, td").all()] for row in rows]


@pytest.mark.parametrize(
    ("nodes", "causes", "summary", "sentence"),
    [
        ((), (), {}, "No nodes yet"),
        ((), (), {"gone": 2}, "No nodes; 2 gone"),
        ((node("a", "rr"),), (), {}, "1 of 1 node warm"),
        (
            (node("a", "rs"), node("b", "pw")),
            (),
            {"seconds_left": 250},
            "1 of 2 nodes warm; 1 pulling, about 4 min left",
        ),
        ((node("b", "pw"),), (), {"seconds_left": 5}, "0 of 1 node warm; 1 pulling, less than a minute left"),
        ((node("b", "pw"),), (), {}, "0 of 1 node warm; 1 pulling"),
        ((node("a", "ww"),), (), {"gone": 1}, "0 of 1 node warm; 1 waiting; 1 gone"),
        ((node("a", "rf"), node("b", "rf")), (MISSING,), {}, "0 of 2 nodes warm; 2 failed: 1 image, 1 cause"),
        (
            (node("a", "rf", gave_up=True, list_rejected="line 1: not an image"),),
            (MISSING, BoardCause(image="b", error_class="refused", reason="denied", error="no", nodes=1)),
            {},
            (
                "0 of 1 node warm; 1 failed: 2 images, 2 causes; 1 gave up and takes pods without all images; "
                "1 cannot use its newest list"
            ),
        ),
        ((node("a", "rp"),), (MISSING,), {}, "0 of 1 node warm; 1 pulling; errors: 1 image, 1 cause, retrying"),
    ],
)
def test_one_sentence_says_how_it_stands(
    scripted: ScriptedBoard, open_window: Opener, *, nodes, causes, summary, sentence
):
    scripted.board = board_of(*nodes, images=IMAGES, causes=causes, **summary)

    page = open_window(scripted.url).page

    expect(page.locator("h1")).to_have_text(sentence)
    expect(page).to_have_title(f"{sentence} - nodeprefetch")


def test_causes_say_what_to_do_and_filter_the_map(scripted: ScriptedBoard, open_window: Opener):
    retried = BoardCause(image=IMAGES[0], error_class="passing", reason="dns", error="no such host", nodes=1)
    scripted.board = board_of(node("node-2", "rr"), node("node-3", "rf"), images=IMAGES, causes=(MISSING, retried))
    page = open_window(scripted.url).page
    first, second = page.locator("#causes li").all()

    expect(first).to_contain_text("2 nodes registry.example/team/app:1: not_found not retried")
    expect(first).to_contain_text("Push the image, correct its name")
    expect(first).to_contain_text("On node-3 and 1 other")
    expect(second).to_contain_text("1 node registry.example/base:1: dns retrying")
    first.get_by_role("button").first.click()

    expect(page.locator("#body tr")).to_have_count(1)
    assert [["node-3", "failed", "failed"]] == table(page)
    assert page.url.endswith("#image=%3Dregistry.example%2Fteam%2Fapp%3A1&state=failed")


def test_many_causes_leave_room_for_the_map(scripted: ScriptedBoard, open_window: Opener):
    causes = [BoardCause(image=f"a:{n}", error_class="passing", reason="dns", error="", nodes=1) for n in range(9)]
    scripted.board = board_of(node("node-1", "p"), images=("a:1",), causes=causes)
    page = open_window(scripted.url).page
    expect(page.locator("#causes li:visible")).to_have_count(5)

    page.get_by_role("button", name="Show all 9 causes").click()

    expect(page.locator("#causes li:visible")).to_have_count(9)


def test_the_map_has_the_worst_nodes_first_and_images_in_the_order_of_the_list(
    scripted: ScriptedBoard, open_window: Opener
):
    images = (BoardImage(image="b:1", size=2 * GIB, missing=3, digests=2), BoardImage(image="a:1"))
    scripted.board = board_of(
        node("node-10", "sr"),
        node("node-9", "sr"),
        node("waits", "ww"),
        node("pulls", "pw", shares={0: 45}),
        node("fails", "f-"),
        images=images,
    )
    page = open_window(scripted.url).page

    expect(page.locator("#head th").nth(2)).to_have_text("b:1, 2.0 GiB, missing on 3, 2 different digests")
    expect(page.locator("#caption")).to_contain_text("5 rows, the worst first")
    assert [
        ["fails", "failed", "failed", "not in its list"],
        ["pulls", "pulling", "pulling 45 %", "waiting"],
        ["waits", "waiting", "waiting", "waiting"],
        ["node-9", "warm", "warm", "warm"],
        ["node-10", "warm", "warm", "warm"],
    ] == table(page)


def test_cells_are_drawn_by_state(scripted: ScriptedBoard, open_window: Opener):
    """Colors in the middle of the left quarter of each cell of the first row."""
    scripted.board = board_of(node("n", "rpwf-", shares={1: 50}), images=("a", "b", "c", "d", "e"))
    window = open_window(scripted.url)
    page = window.page
    expect(page.locator("#body tr")).to_have_count(1)

    def colors() -> list[str]:
        found: list[str] = page.evaluate(
            """() => {
              const canvas = document.querySelector("canvas"), scale = canvas.width / canvas.clientWidth;
              const cell = Math.min(140, Math.floor((canvas.clientWidth - 220) / 5));
              const pixel = (x, y) => canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data;
              return [0, 1, 2, 3, 4].map((i) => pixel(220 + (i + 0.25) * cell, 44 + 10).slice(0, 3).join(" "));
            }"""
        )
        return found

    window.wait_until("document.querySelector('canvas').getContext('2d').getImageData(5, 5, 1, 1).data[3] === 255")
    assert ["58 138 77", "11 95 204", "255 255 255", "179 38 30", "255 255 255"] == colors()


def test_changes_are_seen_without_reloading(scripted: ScriptedBoard, open_window: Opener):
    before = node("node-1", "rp", shares={1: 10}), node("node-2", "rr")
    scripted.board = board_of(*before, images=IMAGES)
    page = open_window(f"{scripted.url}#view=table").page
    expect(page.locator("h1")).to_have_text("1 of 2 nodes warm; 1 pulling")
    after = node("node-1", "rs"), node("node-3", "rf")

    scripted.send(
        BoardChange(at=NOW + 1, summary=summary_of(after), nodes=after, removed=("node-2",), causes=(MISSING,))
    )

    expect(page.locator("h1")).to_have_text("1 of 2 nodes warm; 1 failed: 1 image, 1 cause")
    expect(page.locator("#body")).to_have_text(re.compile("node-3.*node-1"))
    expect(page.locator("#causes li")).to_have_count(1)
    assert [["node-3", "failed", "warm", "failed"], ["node-1", "warm", "warm", "warm"]] == table(page)
    assert 1 == sum(path.startswith("/v1/board") for path in scripted.asked)


def test_news_are_drawn_at_most_once_a_second(scripted: ScriptedBoard, chromium: Browser):
    """The browser's clock is the test's: three changes come at once, and are drawn as one, a second after the first."""
    scripted.board = board_of(node("node-1", "ww"), images=IMAGES)
    window = Window(chromium)
    page = window.page
    page.add_init_script("const { parse } = JSON; window.come = 0; JSON.parse = (text) => (come++, parse(text));")
    page.clock.install()
    page.goto(scripted.url)
    expect(page.locator("h1")).to_have_text("0 of 1 node warm; 1 waiting")
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 20)  # less than the silence after which it connects anew
    page.evaluate(
        "window.drawn = []; new MutationObserver(() => drawn.push(document.querySelector('h1').textContent))"
        ".observe(document.querySelector('h1'), {childList: true, characterData: true, subtree: true})"
    )

    for number, cells in enumerate(("pw", "sp", "ss", "fs"), 2):
        scripted.send(BoardChange(at=NOW, summary=summary_of([node("node-1", cells)]), nodes=(node("node-1", cells),)))
        window.wait_until(f"come === {number}")
        page.clock.run_for(10)

    assert ["0 of 1 node warm; 1 pulling"] == page.evaluate("drawn")
    page.clock.run_for(1000)
    assert ["0 of 1 node warm; 1 pulling", "0 of 1 node warm; 1 failed"] == page.evaluate("drawn")
    window.close()
    assert [] == window.problems


def test_details_have_the_attempts_and_the_run(scripted: ScriptedBoard, open_window: Opener):
    scripted.board = board_of(
        node("node-3", "rf", zone="zone-a", list_digest="sha256:abc", created=NOW - 7200),
        images=IMAGES,
        causes=(MISSING,),
    )
    scripted.attempts = [
        AttemptRecord(
            node="node-3",
            image=IMAGES[1],
            attempt=2,
            started_at=NOW - 60,
            duration=12.5,
            limit=30,
            run_id="run-7",
            credential="pull-secrets registry.example",
            error="manifest unknown",
            error_class="permanent",
            reason="not_found",
        ),
        AttemptRecord(
            node="node-3", image=IMAGES[0], attempt=1, started_at=NOW - 90, duration=3, size=GIB, digest="sha256:def"
        ),
    ]
    page = open_window(f"{scripted.url}#view=table").page

    page.get_by_role("button", name="node-3").last.click()

    facts = page.locator("#facts")
    expect(facts).to_contain_text("zone-a")
    expect(facts).to_contain_text("sha256:abc")
    expect(facts).to_contain_text("2 h")
    attempts = page.locator("#attempts > li")
    expect(attempts).to_have_count(2)
    for text in (
        "attempt 2",
        "permanent, not_found",
        "manifest unknown",
        "13 s of at most 30 s",
        "run-7",
        "pull-secrets",
    ):
        expect(attempts.first).to_contain_text(text)
    for text in (IMAGES[0], "succeeded", "3.0 s", "1.0 GiB", "sha256:def", "none"):
        expect(attempts.last).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()
