"""Prepares foreign text for logs: masks secrets, and makes it one line of printable text of limited length."""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from nodeprefetch.text.known_secrets import known_secrets
from nodeprefetch.text.printable import printable

MAX_LENGTH = 2000
"""Characters. Longer texts lose their middle: the beginning says what was done, the end what failed."""

SHORTEST_SECRET = 4
"""Characters. Shorter secrets are not masked: they would match parts of ordinary words."""

_HEAD = 1400
_MASK = "***"
_CUT = " … "

_URL_REST = re.compile(r"://([^\s\"'<>`\\]*)")
_DECODED_AUTH = re.compile(r'(invalid decoded auth: ?)(?:"(?:[^"\\]|\\.)*+"?|.*)', re.DOTALL)
_HEADER = re.compile(
    r"(?i:((?:proxy-)?authorization)([\"']?\s?[:=]\s?\[?[\"']?)"
    r"((?:bearer|basic|digest|negotiate|ntlm|token|aws4-hmac-sha256) )?)([^\s\"',\]]+)"
)
_WORD = re.compile(r"(?:auth\w*|challenges?|credentials?|realm|tokens?)\W*", re.IGNORECASE)
"""Words that may follow the name of a scheme in a sentence."""

_OPAQUE = re.compile(r"(?=[^\s\d]*\d|[^\sa-z]*[a-z][^\sA-Z]*[A-Z])\S{8,}|\S{24,}")
"""Matches what is not a word of a sentence, and so a credential even if no scheme precedes it."""

_SCHEME = re.compile(r"\b([Bb]earer|BEARER|[Bb]asic|BASIC) (?![a-z]+\b(?![-+/=~._]))[A-Za-z0-9+/_.~=-]{4,}")
_NAMED = re.compile(
    r"(?i:((?:access_|refresh_|id_|identity_?|registry_?|client_|x-amz-(?:security-)?)?"
    r"(?:token|password|passwd|secret|signature|credential)[\\\"']*[=:]\s?[\\\"']*))(?<=[=\"'])[^\s&\"'\\,;]+"
)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text on one line of at most `MAX_LENGTH` characters, with secrets replaced by `***`.

    Masks the given secrets and those used so far (`known_secrets`): verbatim, escaped as in Go, JSON and URLs, and
    inside base64. Masks passwords and query strings in URLs: a token server's query says who asks for what. Masks
    credentials after `Authorization:`, `Bearer`, `Basic`, `token=` and the like, and the decoded credential that
    containerd quotes if it has no colon. Takes time proportional to the length of the full text.
    """
    known = (*secrets, *known_secrets())
    text = _mask(text, known)
    text = _DECODED_AUTH.sub(rf'\1"{_MASK}"', text)
    text = _URL_REST.sub(_without_userinfo_and_query, text)
    text = _HEADER.sub(_without_credential, text)
    text = _NAMED.sub(rf"\1{_MASK}", text)
    text = _SCHEME.sub(rf"\1 {_MASK}", text)
    text = _JWT.sub(_MASK, text)
    text = _on_one_line(text)
    text = _mask(text, known)  # again: joining lines can join the parts of a secret
    return text if len(text) <= MAX_LENGTH else text[:_HEAD] + _CUT + text[_HEAD + len(_CUT) - MAX_LENGTH :]


def mask_known(text: str) -> str:
    """Mask only the secrets used so far. For texts written for people, in which nothing else should be masked."""
    return _mask(text, known_secrets())


def _mask(text: str, secrets: Iterable[str]) -> str:
    forms, cores = _shapes(frozenset(secret for secret in secrets if len(secret) >= SHORTEST_SECRET))
    for form in forms:
        text = text.replace(form, _MASK)
    return _BASE64_RUN.sub(lambda run: _mask_run(run, cores), text) if cores else text


@lru_cache(maxsize=4)
def _shapes(secrets: frozenset[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The forms of secrets in a text, longest first, and inside base64, shortest first."""
    forms = {form for secret in secrets for form in _escaped(secret)}
    cores = {core for secret in secrets for core in _base64_cores(secret)}
    return sorted(forms, key=len, reverse=True), sorted(cores, key=len)


def _escaped(secret: str) -> Iterator[str]:
    yield secret
    quoted = urllib.parse.quote(secret, safe="", errors="surrogatepass")
    yield from (quoted, quoted.replace("%20", "+"), re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), quoted))
    yield from (urllib.parse.quote(secret, safe="/", errors="surrogatepass"),)
    for ascii_only in (True, False):
        in_json = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield in_json
        yield in_json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    yield secret.replace("\\", "\\\\").replace('"', '\\"')


def _base64_cores(secret: str) -> Iterator[str]:
    """The base64 digits of a secret inside a longer encoded text, for each of the three alignments."""
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + data).decode("ascii").rstrip("=")
        # Leave out digits that contain bits of the neighboring text.
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        core = digits[first:last]
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _mask_run(run: re.Match[str], cores: Sequence[str]) -> str:
    digits = run[0]
    for core in cores:
        if len(core) > len(digits):
            break
        if core in digits:
            return _MASK
    return digits


def _without_userinfo_and_query(match: re.Match[str]) -> str:
    url = match[1].rstrip(":;,.")  # punctuation of the sentence
    after = match[1][len(url) :]
    rest, query, _ = url.partition("?")
    rest, fragment, _ = rest.partition("#")
    authority, slash, path = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    shown = f"{_MASK}@{host}" if at and userinfo else authority
    return f"://{shown}{slash}{path}{'?…' if query or fragment else ''}{after}"


def _without_credential(header: re.Match[str]) -> str:
    """Mask a credential, but not a sentence such as `… may require authorization: server message: …`."""
    name, separator, scheme, value = header.groups(default="")
    is_sentence = name.lower() == "authorization" and separator == ": "
    is_credential = not _WORD.fullmatch(value) if scheme else _OPAQUE.fullmatch(value)
    return header[0] if is_sentence and not is_credential else f"{name}{separator}{scheme}{_MASK}"


def _on_one_line(text: str) -> str:
    text = " | ".join(line.strip() for line in text.strip().splitlines() if line.strip())
    return printable(text)
