"""The aggregator's page in Chromium, through the API server's proxy: what is seen of a cluster, and seen to change."""

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from tests.browser.chromium import Window, running_chromium, why_no_chromium
from tests.e2e.conftest import need
from tests.e2e.warmcluster import IMAGES, PROXY, WarmCluster
from tests.support.cluster_api import api_from_here

pytestmark = [
    pytest.mark.cluster,
    # What the page shows is not the runtime's.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]

MISSING = "registry.example.com/team/unseen:1"
MILLISECONDS = 1000


def test_the_page_shows_what_happens_on_the_cluster(site: WarmCluster) -> None:
    """All in one window, which is never loaded again: nodes pull, get warm, and fail."""
    need(why_no_chromium())
    site.push("team/watched:1")
    watched = "registry.example.com/team/watched:1"
    count = len(site.nodes)
    site.change_list(*IMAGES)
    with api_from_here(site.cluster) as api, running_chromium() as browser:
        window = Window(browser)
        page = window.page
        sentence = page.locator("h1")
        expect.set_options(timeout=300 * MILLISECONDS)
        page.goto(f"{api}{PROXY}/")
        expect(sentence).to_contain_text(f"{count} of {count} nodes warm")

        with site.stalled_registry():
            site.start_change(*IMAGES, watched)
            expect(sentence).to_contain_text(f"0 of {count} nodes warm; {count} pulling")
        expect(sentence).to_contain_text(f"{count} of {count} nodes warm")
        expect(page.locator("#body tr")).to_have_count(count)
        expect(page.locator("#head")).to_contain_text("team/watched:1")

        site.start_change(*IMAGES, MISSING)
        expect(sentence).to_contain_text(f"{count} failed: 1 image, 1 cause")
        expect(page.locator("#causes li")).to_have_count(1)
        expect(page.locator("#causes li")).to_contain_text(MISSING)
        problems = list(window.problems)
        window.close()
    site.change_list(*IMAGES)

    assert [] == problems
