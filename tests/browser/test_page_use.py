"""Filters, the URL, keys, colors, and what helps people who do not see the map."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from nodeprefetch.board import AttemptRecord, BoardCause
from tests.browser.conftest import Opener
from tests.support.boards import NOW, board_of, node
from tests.support.scripted_board import ScriptedBoard

pytestmark = pytest.mark.browser

IMAGES = ("registry.example/base:1", "registry.example/team/app:1")


@pytest.fixture
def fleet(scripted: ScriptedBoard) -> ScriptedBoard:
    """Six nodes in three zones; node-5 fails at the second image."""
    cause = BoardCause(
        image=IMAGES[1],
        error_class="permanent",
        reason="not_found",
        error="manifest unknown",
        nodes=1,
        examples=("node-5",),
        is_final=True,
    )
    nodes = [
        node(f"node-{number}", "rr", zone=f"zone-{number % 3}", pool="gpu" if number < 2 else "", created=NOW - 300)
        for number in range(5)
    ]
    nodes.append(node("node-5", "rf", zone="zone-2", gave_up=True))
    scripted.board = board_of(*nodes, images=IMAGES, causes=(cause,))
    scripted.attempts = [
        AttemptRecord(
            node="node-5",
            image=IMAGES[1],
            attempt=1,
            started_at=NOW,
            duration=1,
            error="manifest unknown",
            error_class="permanent",
            reason="not_found",
        )
    ]
    return scripted


def names(page: Page) -> list[str]:
    """Nodes and groups of the table."""
    return [text.partition(":")[0] for text in page.locator("#body th").all_text_contents()]


def test_filters_find_nodes_and_images_by_parts_of_names(fleet: ScriptedBoard, open_window: Opener):
    page = open_window(fleet.url).page
    expect(page.locator("#body tr")).to_have_count(6)

    page.get_by_label("Node", exact=True).fill("NODE 3")
    expect(page.locator("#body tr")).to_have_count(1)
    page.get_by_label("Image", exact=True).fill("app")

    expect(page.locator("#head th")).to_have_count(3)
    assert ["node-3"] == names(page)
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#body tr")).to_have_count(6)
    page.get_by_label("State").select_option("gave up")
    expect(page.locator("#body tr")).to_have_count(1)
    assert ["node-5"] == names(page)
    page.get_by_label("Node", exact=True).fill("nothing of that name")
    expect(page.locator("#empty")).to_have_text("No node matches these filters.")


def test_the_url_has_the_filters_and_the_back_button_undoes_them(fleet: ScriptedBoard, open_window: Opener):
    page = open_window(f"{fleet.url}#node=node-5&view=table").page
    expect(page.locator("#body tr")).to_have_count(1)

    page.get_by_role("button", name="node-5").last.click()
    expect(page.locator("#details-title")).to_have_text("node-5")
    page.get_by_label("State").select_option("warm")
    expect(page.locator("#empty")).to_be_visible()
    assert page.url.endswith("#node=node-5&open=node-5&state=warm&view=table")
    page.go_back()
    expect(page.locator("#body tr")).to_have_count(1)
    expect(page.get_by_label("State")).to_have_value("")
    page.go_back()
    expect(page.locator("#details")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#details-title")).to_have_text("node-5")
    page.reload()
    expect(page.locator("#details-title")).to_have_text("node-5")


def test_typing_is_one_step_back(fleet: ScriptedBoard, open_window: Opener):
    page = open_window(fleet.url).page
    expect(page.locator("#body tr")).to_have_count(6)

    page.get_by_label("Node", exact=True).press_sequentially("node-4")
    expect(page.locator("#body tr")).to_have_count(1)
    page.go_back()

    expect(page.locator("#body tr")).to_have_count(6)
    assert fleet.url == page.url


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("zone", ["zone-0", "node-0", "node-3", "zone-1", "node-1", "node-4", "zone-2", "node-5", "node-2"]),
        ("pool", ["gpu", "node-0", "node-1", "pool unknown", "node-5", "node-2", "node-3", "node-4"]),
        (
            "age",
            ["up to 10 minutes old", "node-0", "node-1", "node-2", "node-3", "node-4", "age unknown", "node-5"],
        ),
    ],
)
def test_nodes_can_be_grouped(fleet: ScriptedBoard, open_window: Opener, group: str, expected: list[str]):
    page = open_window(fleet.url).page

    page.get_by_label("Group by").select_option(group)

    expect(page.locator("#body tr")).to_have_count(len(expected))
    assert expected == names(page)


def test_the_map_is_used_by_keys(fleet: ScriptedBoard, open_window: Opener):
    page = open_window(f"{fleet.url}#group=zone").page
    expect(page.locator("#body tr")).to_have_count(9)
    spoken = page.locator("#spoken")

    page.keyboard.press("/")
    expect(page.get_by_label("Node", exact=True)).to_be_focused()
    page.get_by_role("application", name="Map of nodes and images").focus()
    expect(spoken).to_have_text("zone-0: 2 warm")
    page.keyboard.press("Enter")
    expect(page.locator("#body tr")).to_have_count(7)
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    expect(spoken).to_have_text("node-5, gave up: failed, 1 missing")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(spoken).to_have_text("node-5, gave up: failed: registry.example/team/app:1, 1.0 GiB")
    page.keyboard.press("Enter")
    expect(page.locator("#details-title")).to_have_text("node-5: registry.example/team/app:1")
    expect(page.locator("#details-title")).to_be_focused()
    expect(page.locator("#attempts")).to_contain_text("manifest unknown")
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()
    expect(page.locator("#map")).to_be_focused()
    expect(spoken).to_have_text("node-5, gave up: failed: registry.example/team/app:1, 1.0 GiB")
    page.keyboard.press("Home")
    expect(spoken).to_have_text("zone-0: 2 warm")
    page.keyboard.press("End")
    expect(spoken).to_contain_text("node-2")


def test_the_map_is_used_by_pointer(fleet: ScriptedBoard, open_window: Opener):
    page = open_window(fleet.url).page
    expect(page.locator("#body tr")).to_have_count(6)
    place = page.locator("#place")
    canvas = page.locator("canvas")

    canvas.hover(position={"x": 230 + 140, "y": 44 + 10})
    expect(place).to_have_text("node-5, gave up: failed: registry.example/team/app:1, 1.0 GiB")
    canvas.hover(position={"x": 230, "y": 20})
    expect(place).to_have_text("registry.example/base:1, 1.0 GiB")
    canvas.click(position={"x": 230 + 140, "y": 44 + 10})

    expect(page.locator("#details-title")).to_have_text("node-5: registry.example/team/app:1")


def test_the_map_is_drawn_in_the_colors_of_the_scheme(fleet: ScriptedBoard, open_window: Opener):
    window = open_window(fleet.url, scheme="dark")
    page = window.page
    expect(page.locator("#body tr")).to_have_count(6)
    corner = "document.querySelector('canvas').getContext('2d').getImageData(5, 5, 1, 1).data.join(' ')"

    window.wait_until(f"{corner} === '20 23 28 255'")
    page.emulate_media(color_scheme="light")

    window.wait_until(f"{corner} === '255 255 255 255'")


def test_a_thousand_nodes_and_forty_images_are_reached_by_keys(scripted: ScriptedBoard, open_window: Opener):
    nodes = (node(f"node-{number}", "r" * 40) for number in range(1_000))
    scripted.board = board_of(*nodes, images=[f"a:{number}" for number in range(40)])
    page = open_window(scripted.url).page
    expect(page.locator("h1")).to_have_text("1,000 of 1,000 nodes warm")
    expect(page.locator("#caption")).to_contain_text("Rows 1 to 50 of 1,000")

    page.locator("#map").focus()
    page.keyboard.press("End")
    for _ in range(40):
        page.keyboard.press("ArrowRight")

    expect(page.locator("#spoken")).to_have_text("node-999: warm: a:39, 1.0 GiB")
    assert 15_000 < page.locator("#map").evaluate("map => map.scrollTop")


def test_long_tables_have_pages(scripted: ScriptedBoard, open_window: Opener):
    scripted.board = board_of(*(node(f"node-{number}", "rr") for number in range(120)), images=IMAGES)
    page = open_window(f"{scripted.url}#view=table").page
    expect(page.locator("#caption")).to_contain_text("Rows 1 to 50 of 120")

    page.get_by_role("button", name="Next rows").click()
    page.get_by_role("button", name="Next rows").click()

    expect(page.locator("#caption")).to_contain_text("Rows 101 to 120 of 120")
    expect(page.get_by_role("button", name="Next rows")).to_be_disabled()
    assert [f"node-{number}" for number in range(100, 120)] == names(page)


def test_the_whole_table_is_printed(scripted: ScriptedBoard, open_window: Opener):
    scripted.board = board_of(*(node(f"node-{number}", "rr") for number in range(120)), images=IMAGES)
    page = open_window(scripted.url).page
    expect(page.locator("#body tr")).to_have_count(50)

    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    expect(page.locator("#body tr")).to_have_count(120)
    expect(page.locator("#map")).to_be_hidden()
    assert 100 < page.locator("#table").evaluate("table => table.clientHeight")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["", "view=table&group=zone"])
def test_axe_finds_nothing(fleet: ScriptedBoard, open_window: Opener, scheme: str, view: str):
    page = open_window(f"{fleet.url}#{view}", scheme=scheme).page
    expect(page.locator("#causes li")).to_have_count(1)

    for click in (None, "#causes .examples button"):
        if click:
            page.click(click)
            expect(page.locator("#attempts li")).to_have_count(1)
        found = Axe().run(page).response
        assert [] == [(rule["id"], each["html"]) for rule in found["violations"] for each in rule["nodes"]]
