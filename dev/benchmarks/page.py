"""Measure the page in Chromium: until the map is drawn, bytes on the wire, and processor time while all nodes pull."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page

from benchmarks.figures import Figure, milliseconds
from benchmarks.surroundings import Surroundings
from nodeprefetch.board import BoardChange, BoardImage, BoardNode
from tests.browser.chromium import Window, running_chromium, why_no_chromium
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.boards import GIB, NOW, board_of, node, summary_of
from tests.support.scripted_board import ScriptedBoard

_IMAGES, _AT_ONCE = 40, 4
_ROUNDS = 5
_MEASURED = 20.0
"""Seconds."""

_EVERY = 5
"""Seconds between two reports of a node: one in so many changes each second."""


def page(around: Surroundings) -> Iterator[Figure]:
    """Open the page for 1,000 nodes, then for 5,000."""
    if reason := why_no_chromium():
        around.left_out.append(f"page: {reason}")
        return
    with running_aggregator(on_any_port()) as aggregator, running_chromium() as browser:
        for nodes in (1_000, 5_000):
            with ScriptedBoard(aggregator.http_port).running() as server:
                yield from _of_fleet(browser, server, nodes)


def _of_fleet(browser: Browser, server: ScriptedBoard, nodes: int) -> Iterator[Figure]:
    name = f"{nodes:,} nodes x {_IMAGES} images"
    is_usual = nodes == 1_000  # noqa: PLR2004
    fleet = _Fleet(nodes)
    server.board = board_of(*fleet.nodes, images=fleet.images, rate=GIB)
    opened = [_open(browser, server.url) for _ in range(_ROUNDS)]
    yield milliseconds(f"page: {name}: to the first paint", [each.first_paint for each in opened], goal=1000)
    goal = 1000 if is_usual else None
    yield milliseconds("  to the drawn map", [each.drawn for each in opened], goal=goal)
    yield milliseconds("  processor time until then", [each.used for each in opened])
    yield Figure(name="  bytes of the page itself", unit="KB", values=(opened[0].size / 1000,), goal=100)
    yield Figure(name="  bytes of the first message", unit="KB", values=(opened[0].board_size / 1000,))
    shares = {view: _share(browser, server, fleet, view) for view in ("", "#view=table")}
    yield Figure(name="  processor time while all pull", unit="%", values=(shares[""],), goal=30 if is_usual else None)
    yield Figure(name="  as a table", unit="%", values=(shares["#view=table"],))


@dataclass(frozen=True, kw_only=True)
class _Opened:
    first_paint: float
    """Seconds since the navigation began, like `drawn`."""

    drawn: float
    used: float
    """Seconds of processor time of all processes of the browser."""

    size: int
    """Bytes received for the page's files."""

    board_size: int


def _open(browser: Browser, url: str) -> _Opened:
    window = Window(browser)
    received = {"files": 0, "board": 0}
    kinds: dict[str, str] = {}
    session = window.page.context.new_cdp_session(window.page)
    session.on(
        "Network.responseReceived", lambda each: kinds.update({each["requestId"]: _kind(each["response"]["url"])})
    )
    session.on("Network.dataReceived", lambda each: _add(received, kinds, each))
    session.send("Network.enable")
    before = _processor_time(browser)
    window.page.goto(url)
    window.wait_until("performance.getEntriesByName('map drawn').length > 0")
    used = _processor_time(browser) - before
    paint = window.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    drawn = window.page.evaluate("performance.getEntriesByName('map drawn')[0].startTime")
    window.close()
    return _Opened(
        first_paint=paint / 1000, drawn=drawn / 1000, used=used, size=received["files"], board_size=received["board"]
    )


def _kind(url: str) -> str:
    return "board" if "/v1/" in url else "files"


def _add(received: dict[str, int], kinds: dict[str, str], event: dict[str, int | str]) -> None:
    kind = kinds.get(str(event["requestId"]), "files")
    received[kind] += int(event["encodedDataLength" if kind == "files" else "dataLength"])  # a stream is not compressed


def _share(browser: Browser, server: ScriptedBoard, fleet: "_Fleet", view: str) -> float:
    """Return percent of a processor that all processes of the browser use."""
    window = Window(browser)
    window.page.goto(f"{server.url}{view}")
    window.wait_until("document.querySelectorAll('#body tr').length > 0")
    with _changing(server, fleet):
        time.sleep(3)
        before, began = _processor_time(browser), time.monotonic()
        _wait(window.page, _MEASURED)
        share = 100 * (_processor_time(browser) - before) / (time.monotonic() - began)
    window.close()
    return share


def _wait(page: Page, seconds: float) -> None:
    page.wait_for_timeout(1000 * seconds)


def _processor_time(browser: Browser) -> float:
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return float(sum(process["cpuTime"] for process in processes))


@contextmanager
def _changing(server: ScriptedBoard, fleet: "_Fleet") -> Iterator[None]:
    """Send a change each second, as the aggregator does."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(1):
            server.send(fleet.change())

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class _Fleet:
    """Nodes that all pull."""

    size: int
    turn: int = 0
    nodes: list[BoardNode] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(1)
        self.images = [
            BoardImage(image=f"registry.example.com/team/application-{number}:2026.11", size=GIB)
            for number in range(_IMAGES)
        ]
        self.nodes = [self._node(number) for number in range(self.size)]

    def change(self) -> BoardChange:
        """Let some nodes get on."""
        self.turn += 1
        changed = range(self.turn % _EVERY, self.size, _EVERY)
        for number in changed:
            self.nodes[number] = self._node(number)
        return BoardChange(
            at=NOW + self.turn,
            summary=summary_of(self.nodes, seconds_left=240),
            nodes=tuple(self.nodes[number] for number in changed),
        )

    def _node(self, number: int) -> BoardNode:
        present = self.random.randrange(_IMAGES - _AT_ONCE)
        cells = "s" * present + "p" * _AT_ONCE + "w" * (_IMAGES - _AT_ONCE - present)
        shares = {index: self.random.randrange(100) for index in range(present, present + _AT_ONCE)}
        return node(f"node-{number}.eu-central-1.compute.internal", cells, shares=shares, rate=GIB // 100)
