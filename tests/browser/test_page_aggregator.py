"""The page of a real aggregator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from nodeprefetch.events import RunEnd, RunFinished
from tests.browser.conftest import Opener
from tests.support.aggregator_program import AggregatorProgram
from tests.support.scripted_board import ScriptedBoard
from tests.support.submissions import finished, pulling, run_begins, submit

pytestmark = pytest.mark.browser

IMAGES = ("registry.example/base:1", "registry.example/team/app:1")


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[AggregatorProgram]:
    with AggregatorProgram(tmp_path) as running:
        yield running


def url_of(aggregator: AggregatorProgram) -> str:
    return f"http://127.0.0.1:{aggregator.http_port}/"


def tell(aggregator: AggregatorProgram, node: str, *events: object, token: str = "", instance: str = "main") -> None:
    submit(aggregator.http_port, *events, token=token, node=node, run_id=f"run of {node}", instance=instance)


def test_a_pull_is_followed_from_its_start_to_its_end(aggregator, open_window: Opener):
    page = open_window(f"{url_of(aggregator)}#view=table").page
    sentence, row = page.locator("h1"), page.locator("#body tr")
    expect(sentence).to_have_text("No nodes yet")

    tell(aggregator, "node-1", run_begins("node-1", *IMAGES))
    expect(sentence).to_have_text("0 of 1 node warm; 1 waiting")
    tell(aggregator, "node-1", *pulling(IMAGES[0], 45, node="node-1"))
    expect(row).to_contain_text("pulling 45 %")
    expect(sentence).to_have_text("0 of 1 node warm; 1 pulling, less than a minute left")
    tell(aggregator, "node-1", *finished(IMAGES[0], node="node-1", credential="pull-secrets registry.example"))
    tell(aggregator, "node-1", *finished(IMAGES[1], "manifest unknown", node="node-1"))
    end = RunFinished(run_id="run of node-1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=1, elapsed=9)
    tell(aggregator, "node-1", end)

    expect(sentence).to_have_text("0 of 1 node warm; 1 failed: 1 image, 1 cause")
    expect(page.locator("#causes li")).to_contain_text("manifest unknown")
    page.get_by_role("button", name="node-1").last.click()
    expect(page.locator("#facts")).to_contain_text("containerd 2.0.0")
    expect(page.locator("#facts")).to_contain_text("run of node-1")
    attempts = page.locator("#attempts > li")
    expect(attempts).to_have_count(2)
    expect(attempts.filter(has_text="permanent, not_found: ").or_(attempts.filter(has_text="manifest"))).to_have_count(
        1
    )
    expect(attempts.filter(has_text="pull-secrets registry.example")).to_contain_text("100.0 MiB")


def test_one_instance_is_shown_at_a_time(aggregator, open_window: Opener):
    tell(aggregator, "node-1", run_begins("node-1", "a:1"), instance="")
    tell(aggregator, "node-2", run_begins("node-2", "b:1"), instance="web")
    page = open_window(url_of(aggregator)).page
    expect(page.locator("#head")).to_contain_text("b:1")

    page.get_by_label("Instance").select_option("(no name)")

    expect(page.locator("#head")).to_contain_text("a:1")
    assert page.url.endswith("#instance=")
    page.go_back()
    expect(page.locator("#head")).to_contain_text("b:1")


def test_it_connects_again_after_a_restart_of_the_aggregator(aggregator, open_window: Opener):
    tell(aggregator, "node-1", run_begins("node-1", "a:1"))
    page = open_window(url_of(aggregator)).page
    expect(page.locator("h1")).to_have_text("0 of 1 node warm; 1 waiting")

    aggregator.kill()
    expect(page.locator("#connection")).to_contain_text(
        "Connection lost (the aggregator cannot be reached). Last news: "
    )
    assert page.title().startswith("Connection lost: 0 of 1 node warm")
    aggregator.start()
    tell(aggregator, "node-1", *finished("a:1", node="node-1"))

    expect(page.locator("h1")).to_have_text("1 of 1 node warm")
    expect(page.locator("#connection")).to_be_hidden()


def test_it_asks_for_the_token_and_keeps_it_in_memory(tmp_path: Path, open_window: Opener):
    (tmp_path / "token").write_text("secret-token-of-readers")
    arguments = "--auth=token-file", f"--auth-token-file={tmp_path}/token", "--auth-read"
    with AggregatorProgram(tmp_path, *arguments) as aggregator:
        tell(aggregator, "node-1", run_begins("node-1", "a:1"), token="secret-token-of-readers")
        window = open_window(url_of(aggregator))
        page = window.page
        field = page.get_by_label("Token for reading")
        expect(field).to_be_visible()
        expect(page.locator("#nodes")).to_be_hidden()

        field.fill("wrong")
        field.press("Enter")
        expect(page.locator("#token-problem")).to_have_text("Not accepted: invalid token")
        field.fill("secret-token-of-readers")
        field.press("Enter")

        expect(page.locator("h1")).to_have_text("0 of 1 node warm; 1 waiting")
        expect(page.locator("#connection")).to_be_hidden()
        page.locator("#map").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#details-note")).to_contain_text("No attempts are known")
        assert [] == window.cookies
        assert 0 == page.evaluate("localStorage.length + sessionStorage.length")
        assert "secret-token" not in page.content() + page.url
        page.reload()
        expect(field).to_be_visible()


def test_it_works_behind_a_prefix(aggregator, open_window: Opener):
    """As through the API server's proxy, also for a window that is opened with filters."""
    tell(aggregator, "node-1", run_begins("node-1", "a:1"))
    prefix = "/api/v1/namespaces/prefetch/services/my-images-metrics:http/proxy"
    with ScriptedBoard(aggregator.http_port, prefix).running() as proxy:
        page = open_window(f"{proxy.url}#open=node-1").page

        expect(page.locator("h1")).to_have_text("0 of 1 node warm; 1 waiting")
        expect(page.locator("#details-note")).to_contain_text("No attempts are known")
        tell(aggregator, "node-1", *finished("a:1", node="node-1"))
        expect(page.locator("h1")).to_have_text("1 of 1 node warm")
        assert proxy.url == page.url.partition("#")[0]
