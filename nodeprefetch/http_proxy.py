"""Finds the proxy for a server in the environment, by the rules of Go's clients, `kubectl` among them.

https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config

Imports httpcore, which takes a while: to be imported when it is needed.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> str:
    """URL of the proxy; empty: connect directly.

    Args:
        scheme: of the server: `https` looks at `HTTPS_PROXY`, `http` at `HTTP_PROXY`. Lower case names work too.
        host: name or address of the server, IPv6 without brackets.
        port: of the server.
        environment: with `NO_PROXY`, names of hosts that are connected to directly.
    """
    proxy = _variable(f"{scheme.upper()}_PROXY", environment)
    if not proxy or any(_matches(entry, host, port) for entry in _variable("NO_PROXY", environment).split(",")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def read_proxy(text: str) -> httpcore.Proxy:
    """Return the proxy at a URL, as `proxy_for` returns it.

    Raises:
        ValueError: it is not http:// or https:// with a host. The text has no URL, which may have a password.
    """
    url, port = read_url("proxy in HTTPS_PROXY or HTTP_PROXY", text)
    origin = httpcore.URL(scheme=url.scheme.encode(), host=(url.hostname or "").encode(), port=port, target=b"/")
    if url.username is None:
        return httpcore.Proxy(origin)
    return httpcore.Proxy(origin, auth=(unquote(url.username).encode(), unquote(url.password or "").encode()))


def read_url(name: str, text: str) -> tuple[SplitResult, int]:
    """Return a URL and its port.

    Args:
        name: of what is there, for errors.
        text: the URL.

    Raises:
        ValueError: it is not http:// or https:// with a host. The text does not have the URL.
    """
    invalid = f"invalid {name}: expected http:// or https:// and a host"
    try:
        url = urlsplit(text)
        default_port = _DEFAULT_PORTS[url.scheme]
        port = url.port or default_port
    except (ValueError, KeyError):
        raise ValueError(invalid) from None
    if not (url.hostname and url.hostname.isascii()):
        raise ValueError(invalid)
    return url, port


def _variable(name: str, environment: Mapping[str, str]) -> str:
    return (environment.get(name) or environment.get(name.lower(), "")).strip()


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of `NO_PROXY` names the host: `*`, a network, or an address or domain with or without a port."""
    entry, host = entry.strip().lower(), host.lower()
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:  # a name, or an address with a port
        pass
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (entry.startswith("[") or ":" not in name):
        if int(number) != port:
            return False
        entry = name
    domain = entry.strip("[]").removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
