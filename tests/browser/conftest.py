"""A browser for all tests of this folder, and an aggregator whose page it opens."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Window, running_chromium, why_no_chromium
from tests.conftest import _need
from tests.support.aggregator import RunningAggregator, on_any_port, running_aggregator
from tests.support.scripted_board import ScriptedBoard

expect.set_options(timeout=60_000)  # milliseconds: the machine may be busy

Opener = Callable[..., Window]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, shared."""
    _need(why_no_chromium())
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def open_window(chromium: Browser) -> Iterator[Opener]:
    """Opens a URL in a window of its own; what goes wrong in one fails the test."""
    windows: list[Window] = []
    with ExitStack() as stack:

        def opened(url: str, **options: Any) -> Window:
            window = Window(chromium, **options)
            stack.callback(window.close)
            windows.append(window)
            window.page.goto(url)
            return window

        yield opened
        assert [] == [problem for window in windows for problem in window.problems]


@pytest.fixture(scope="session")
def files() -> Iterator[RunningAggregator]:
    """An aggregator without data, for its static files."""
    with running_aggregator(on_any_port()) as running:
        yield running


@pytest.fixture
def scripted(files: RunningAggregator) -> Iterator[ScriptedBoard]:
    """A board that the test decides about."""
    with ScriptedBoard(files.http_port).running() as board:
        yield board
