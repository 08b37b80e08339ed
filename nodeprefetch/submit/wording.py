"""Foreign texts of a delivery, fit for a person: short, on one line, without the token."""

from nodeprefetch.text.scrub import scrub

_LONGEST = 200
"""Characters."""


def short(text: str, secret: str = "") -> str:
    """The text on one line of at most 200 characters, with the secret masked."""
    line = scrub(text, [secret] if secret else []).strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def deepest_text(error: BaseException) -> str:
    """What the innermost error says: the outer ones only repeat that something did not work."""
    said = ""
    seen: BaseException | None = error
    while seen is not None:
        said = str(seen) or said
        inner = seen.exceptions[0] if isinstance(seen, BaseExceptionGroup) else seen.__cause__
        if inner is None and seen.args and isinstance(seen.args[0], BaseException):
            inner = seen.args[0]
        seen = inner
    return short(said) or type(error).__name__
