"""Links of the documentation: relative ones lead to a file and a heading; others are listed, and not asked for."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.unit.docs_pages import PAGES, ROOT, anchors, links


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        is_page = target.suffix == ".md" and target.is_file()
        if not target.is_file() or (parts.fragment and not (is_page and parts.fragment in anchors(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path):
    assert [] == broken(page)


def test_links_that_lead_nowhere_are_found(tmp_path: Path):
    (tmp_path / "there.md").write_text("# A `fine` Heading, twice\n\n# A fine heading twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-fine-heading-twice) [c](there.md#a-fine-heading-twice-1) [d](https://x.test/y#z)\n"
        "[e](gone.md) [f](there.md#no) [g](#no) [h](.)\n"
    )

    assert ["gone.md", "there.md#no", "#no", "."] == broken(page)


def test_external_links_are_well_formed():
    """`dev/docs --links` shows them. Whether anybody answers there is not asked."""
    external = sorted({link for page in PAGES for link in links(page) if urlsplit(link).scheme})
    print("\n" + "\n".join(external))  # noqa: T201 - for dev/docs

    assert external
    assert [] == [link for link in external if urlsplit(link).scheme != "https" or "." not in urlsplit(link).netloc]


def test_every_page_is_reached_from_the_beginning():
    """By links alone, as on a code-hosting site, which has no table of contents."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.is_file():
            reached.add(page)
            waiting += [(page.parent / urlsplit(link).path).resolve() for link in links(page) if "://" not in link]

    assert set() == {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - reached


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-Wnqc",
            "docs",
            "--keep-going",
            "-d",
            tmp_path / "trees",
            ".",
            tmp_path / "site",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (built.returncode, built.stderr)
    assert (tmp_path / "site" / "index.html").is_file()
    assert (tmp_path / "site" / "docs" / "index.html").is_file()
