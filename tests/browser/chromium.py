"""Opens pages in Debian's Chromium, through Playwright, without network access beyond loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.spawn import find_program

_ARGUMENTS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def why_no_chromium() -> str | None:
    """Why pages cannot be opened here; None if they can."""
    return None if find_program("chromium") else "chromium is not installed (Debian: apt-get install chromium)"


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A page in a browser, and everything that went wrong in it.

    Args:
        browser: where to open it.
        scheme: which colors its user prefers.
        width: of the view, in CSS pixels.
    """

    def __init__(
        self, browser: Browser, *, scheme: Literal["light", "dark"] = "light", width: int = 1280, height: int = 900
    ) -> None:
        self._context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        self._context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.violatedDirective}`))"
        )
        self.page: Page = self._context.new_page()
        self.problems: list[str] = []
        """Errors of scripts, violations of the policy, dialogs."""

        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on("console", lambda message: self._note(message.type, message.text))

    def close(self) -> None:
        """Close it with everything that it has stored."""
        self._context.close()

    def wait_until(self, expression: str) -> None:
        """Block until a JavaScript expression is true.

        Playwright's own way needs `eval`, which the page's policy forbids.

        Raises:
            TimeoutError: it does not become true.
        """
        for _ in range(2_000):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(30)  # milliseconds; what the browser reports is handled meanwhile
        raise TimeoutError(f"it does not become true: {expression}")

    @property
    def cookies(self) -> list[str]:
        """Names of its cookies."""
        return [str(cookie["name"]) for cookie in self._context.cookies()]

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:  # a refused request, which the page shows itself
            self.problems.append(f"console: {text}")
