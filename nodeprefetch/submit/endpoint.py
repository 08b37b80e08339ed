"""The aggregator to send to (`--metrics-endpoint`), and its error texts in short and without the token."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from nodeprefetch.errors import UsageError
from nodeprefetch.text.innermost import innermost_message
from nodeprefetch.text.scrub import scrub

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_NAME = 253
"""Characters of a host name, RFC 1035 section 2.3.4 without the root's dot."""

_PREFIX = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
_EXPECTED = "expected HOST:PORT, http://HOST[:PORT][/PREFIX] or https://HOST[:PORT][/PREFIX]"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The address of an aggregator."""

    scheme: str
    """`http` or `https`."""

    host: str
    """A name or an address, IPv6 without brackets."""

    port: int
    prefix: str = ""
    """Path before the routes, such as `/metrics-of-nodes`; may be empty."""

    @property
    def is_tls(self) -> bool:
        """Whether requests are encrypted."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """`HOST:PORT`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


def parse_endpoint(text: str) -> Endpoint:
    """Parse `HOST:PORT` (plain HTTP, as in image-prefetcher) or an http(s) URL.

    Raises:
        UsageError: it is neither, or has a user name, a query or a fragment.
    """
    given = text.strip()
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError([f"invalid aggregator address {given!r}: {_EXPECTED}"]) from None
    if "@" in parts.netloc:  # not shown, as it may contain a password
        raise UsageError(["invalid aggregator address: must not contain a user name (use --metrics-token-file)"])
    has_port = port is not None or "://" in given
    if not (has_port and port != 0 and _is_plain(parts) and parts.scheme in _DEFAULT_PORTS and _is_host(host)):
        raise UsageError([f"invalid aggregator address {given!r}: {_EXPECTED}"])
    return Endpoint(
        scheme=parts.scheme,
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        prefix=parts.path.rstrip("/"),
    )


def _is_plain(parts: SplitResult) -> bool:
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):  # a future form of address (RFC 3986, IPvFuture)
        return False
    return not parts.query and not parts.fragment and bool(_PREFIX.fullmatch(parts.path.rstrip("/")))


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return ip_address(host.partition("%")[0]).version == 6  # noqa: PLR2004 (the protocol's name)
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in labels)


_LONGEST = 200
"""Characters."""


def short(text: str, secret: str = "") -> str:
    """The text on one line of at most 200 characters, with the secret masked."""
    line = scrub(text, [secret] if secret else []).strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def deepest_text(error: BaseException) -> str:
    """The message of the innermost cause, shortened: outer errors only repeat that something failed."""
    return short(innermost_message(error))
