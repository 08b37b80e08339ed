"""The documentation's pages, read for its tests: which there are, and what is in them."""

import re
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "plugins/**/*.md", "deploy_gen/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    """All of a page, what stands inside of lines too."""
    lines = MarkdownIt().enable("table").parse(page.read_text("utf-8"))
    return tuple(token for line in lines for token in (line, *(line.children or ())))


def blocks(text_of: Path, *languages: str) -> list[str]:
    """What stands in blocks of code of these languages; an indented block has none."""
    return [
        token.content
        for token in tokens(text_of)
        if token.type in {"fence", "code_block"} and token.info.strip() in languages
    ]


def links(page: Path) -> list[str]:
    return [str(token.attrs["href"]) for token in tokens(page) if token.type == "link_open"]


@cache
def anchors(page: Path) -> set[str]:
    """Of the headings, by the rule of code-hosting sites; a heading that comes again gets a number."""
    found: set[str] = set()
    of_heading = False
    for token in tokens(page):
        if token.type == "inline" and of_heading:
            text = "".join(part.content for part in token.children or () if part.type in {"text", "code_inline"})
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            numbered = (f"{slug}-{number}" for number in range(1, 1000))
            found.add(slug if slug not in found else next(one for one in numbered if one not in found))
        of_heading = token.type == "heading_open"
    return found
