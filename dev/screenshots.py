"""Take the screenshots of the documentation (for dev/screenshots)."""

import random
import sys
import tempfile
from pathlib import Path

import demo_cluster
from playwright.sync_api import Browser, Page

from nodeprefetch.batch import AnyEvent
from tests.browser.chromium import Window, running_chromium
from tests.e2e.warmcluster import PROXY, WarmCluster
from tests.support.aggregator_program import AggregatorProgram
from tests.support.cluster_api import api_from_here
from tests.support.submissions import MIB, finished, pulling, run_begins, submit

FOLDER = Path(__file__).parents[1] / "docs/images"
IMAGES = {
    "registry.example.com/team/web:2.14.1": 180,
    "registry.example.com/team/api:2.14.1": 240,
    "registry.example.com/team/worker:2.14.1": 310,
    "registry.example.com/ml/notebook-gpu:2026.11": 6200,
    "registry.example.com/ml/model-server:0.9": 4100,
    "docker.io/library/postgres:17.2": 160,
    "docker.io/library/redis:7.4": 45,
    "docker.io/library/nginx:1.29": 72,
    "quay.io/prometheus/node-exporter:v1.9.0": 12,
    "registry.example.com/base/python:3.13": 55,
}
MISSING, REFUSED = "registry.example.com/ml/model-server:0.9", "registry.example.com/team/worker:2.14.1"
ERRORS = {
    MISSING: ("registry.example.com/ml/model-server:0.9: not found", "not_found"),
    REFUSED: ("failed to authorize: 401 Unauthorized", "unauthorized"),
}
NODES = 120


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="npf-") as directory, AggregatorProgram(Path(directory)) as aggregator:
        for number in range(NODES):
            node = f"ip-10-0-{number // 40}-{number % 40 + 10}.example.internal"
            events = [run_begins(node, *IMAGES), *_events(number, node)]
            submit(aggregator.http_port, *events, node=node, run_id=f"run of {node}", instance="my-images")
        url = f"http://127.0.0.1:{aggregator.http_port}/"
        with running_chromium() as browser:
            _take(browser, url, "page.png", scheme="light")
            _take(browser, url, "page-details.png", scheme="dark", details=MISSING)


def of_demo(archive: Path) -> int:
    """Take one of the page of a cluster on which the README's steps were run. Return the exit code."""

    def show(_: Path, site: WarmCluster) -> None:
        with api_from_here(site.cluster) as api, running_chromium() as browser:
            _take(browser, f"{api}{PROXY}/", "page-demo.png", scheme="light", height=420)

    return demo_cluster.main(archive, show=show)


def _events(number: int, node: str) -> list[AnyEvent]:
    """What a node has reported: some fail, some pull, the others are done."""
    chance = random.Random(number)
    events: list[AnyEvent] = []
    failing = {MISSING} if number % 24 == 5 else {REFUSED} if number % 40 == 7 else set()  # noqa: PLR2004
    done = chance.randrange(3, len(IMAGES)) if number % 5 == 0 else len(IMAGES)
    for index, (image, mebibytes) in enumerate(IMAGES.items()):
        if image in failing:
            text, reason = ERRORS[image]
            credential = "pull-secrets registry.example.com" if image == REFUSED else ""
            events += finished(image, text, reason=reason, node=node, credential=credential)
        elif index < done:
            events += finished(image, size=mebibytes * MIB, node=node)
        elif index < done + 3:
            events += pulling(image, chance.randrange(5, 95), size=mebibytes * MIB, node=node)
    return events


def _take(browser: Browser, url: str, name: str, *, scheme: str, details: str = "", height: int = 760) -> None:
    window = Window(browser, scheme=scheme, height=height)
    page = window.page
    page.goto(url)
    window.wait_until("performance.getEntriesByName('map drawn').length > 0")
    if details:
        _open_details(page, details)
    window.wait_until("document.fonts.status === 'loaded'")
    file = FOLDER / name
    page.screenshot(path=file)
    window.close()
    print(f"{file.relative_to(FOLDER.parents[1])}: {file.stat().st_size // 1000} kB")


def _open_details(page: Page, image: str) -> None:
    """Open those of the first node that lacks the image."""
    cause = page.locator("#causes li").filter(has_text=image)
    cause.locator(".examples button").first.click()
    page.wait_for_selector("#attempts li")
    page.evaluate("scrollTo(0, document.querySelector('#nodes').offsetTop - 20)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(of_demo(Path(sys.argv[1])))
    main()
