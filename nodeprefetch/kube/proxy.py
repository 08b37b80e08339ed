"""Finds the proxy for a server in the environment, by the rules of Go's clients, `kubectl` among them.

https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network


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
