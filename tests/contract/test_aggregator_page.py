"""The files of the page, as the aggregator serves them."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.aggregator.settings import AuthMode
from nodeprefetch.aggregator.web import page
from tests.golden import remedies
from tests.support.aggregator import RunningAggregator, on_any_port, running_aggregator

SOURCES = sorted(Path(page.__file__).with_name("page").iterdir())


@pytest.fixture(scope="module")
def aggregator() -> Iterator[RunningAggregator]:
    with running_aggregator(on_any_port()) as running:
        yield running


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_each_file_is_served_as_it_is(aggregator, source):
    path = "/" if source.name == "index.html" else f"/page/{source.name}"

    plain = aggregator.ask("GET", path)
    compressed = aggregator.ask("GET", path, headers={"Accept-Encoding": "br, gzip;q=0.8"})

    assert (200, source.read_bytes()) == (plain.status, plain.body)
    assert source.read_bytes() == gzip.decompress(compressed.body)
    assert "gzip" == compressed.headers["content-encoding"]
    assert plain.headers["content-type"] == compressed.headers["content-type"]
    assert {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}[source.suffix] in plain.headers[
        "content-type"
    ]


def test_the_page_may_load_nothing_but_itself(aggregator):
    headers = aggregator.ask("GET", "/").headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "nosniff" == headers["x-content-type-options"]
    assert "no-referrer" == headers["referrer-policy"]


def test_a_client_that_has_a_file_does_not_get_it_again(aggregator):
    first = aggregator.ask("GET", "/page/main.js")
    compressed = aggregator.ask("GET", "/page/main.js", headers={"Accept-Encoding": "gzip"})

    again = aggregator.ask("GET", "/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    other = aggregator.ask("GET", "/page/main.js", headers={"If-None-Match": compressed.headers["etag"]})

    assert (304, b"") == (again.status, again.body)
    assert 200 == other.status


@pytest.mark.parametrize("refused", ["identity", "gzip;q=0", "gzip; q=0.0", "deflate, br"])
def test_only_who_accepts_gzip_gets_it(aggregator, refused):
    assert "content-encoding" not in aggregator.ask("GET", "/", headers={"Accept-Encoding": refused}).headers


@pytest.mark.parametrize(
    "path", ["/page/", "/page/index.html", "/page/none.js", "/page/..%2fapp.py", "/page/../app.py"]
)
def test_there_are_no_other_files(aggregator, path):
    assert 404 == aggregator.ask("GET", path).status


def test_the_page_is_not_on_the_port_for_submissions(aggregator):
    for path in ("/", "/page/main.js"):
        assert 404 == aggregator.ask("GET", path, port=aggregator.grpc_port).status


def test_the_files_need_no_token(tmp_path):
    (tmp_path / "token").write_text("secret-token-of-readers")
    settings = on_any_port(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "token", auth_read=True)
    with running_aggregator(settings) as aggregator:
        assert [200, 200, 401] == [aggregator.ask("GET", path).status for path in ("/", "/page/main.js", "/v1/status")]


def test_the_page_is_small():
    """At most 100 KB on the wire; compressed it is a fourth of that."""
    assert 100_000 > sum(len(file.body) for file in page.files().values())


def test_the_page_makes_no_markup_of_texts_and_loads_nothing_foreign():
    for source in SOURCES:
        text = source.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", text), (
            source
        )
        assert not re.search(r"(localStorage|sessionStorage|document\.cookie|indexedDB)", text), source
        assert not re.search(r"""(src|href|from|url)\s*[=(]?\s*["'(]?(https?:)?//""", text), source
        assert not re.search(r"<[^>]*\s(on\w+|style)=", text), source


def test_every_module_is_loaded_at_once():
    """A module that the page finds only inside another costs another round trip."""
    index = page.files()["index.html"].body.decode()

    assert {path.name for path in SOURCES} - {"index.html"} == set(re.findall(r'"page/([^"]+)"', index))


def test_the_advice_is_that_of_the_commands():
    assert remedies.script() == remedies.FILE.read_text("utf-8"), "run python -m tests.golden.remedies"
