"""Which proxy the environment names for a server."""

import pytest

from nodeprefetch.http_proxy import proxy_for


@pytest.mark.parametrize(
    ("scheme", "environment", "proxy"),
    [
        ("https", {}, ""),
        ("https", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https", {"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, "http://p:1"),
        ("https", {"HTTPS_PROXY": " p:1 "}, "http://p:1"),
        ("https", {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, ""),
        ("http", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a, 10.0.0.0/8 ,b"}, ""),
        ("https", {"HTTPS_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, ""),
    ],
)
def test_the_scheme_says_which_variable_names_the_proxy(scheme, environment, proxy):
    assert proxy == proxy_for(scheme, "10.0.0.1", 443, environment)


@pytest.mark.parametrize(
    ("entry", "host", "is_direct"),
    [
        ("*", "a.example.com", True),
        ("", "a.example.com", False),
        (".", "a.example.com", False),
        ("example.com", "example.com", True),
        ("example.com", "A.Example.com", True),
        (".example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("example.com", "badexample.com", False),
        ("example.com:443", "a.example.com", True),
        ("example.com:444", "a.example.com", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1:443", "10.0.0.1", True),
        ("10.0.0.1:444", "10.0.0.1", False),
        ("10.0.0.0/8", "10.9.9.9", True),
        ("10.0.0.7/8", "10.9.9.9", True),
        ("10.0.0.0/8", "11.9.9.9", False),
        ("10.0.0.0/8", "fd00::1", False),
        ("10.0.0.0/8", "a.example.com", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::1", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:444", "fd00::1", False),
        ("fe00::443", "fd00::1", False),
    ],
)
def test_an_entry_of_no_proxy_matches_as_in_go(entry, host, is_direct):
    environment = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": entry}

    assert ("" if is_direct else "http://p:1") == proxy_for("https", host, 443, environment)
