"""Checks the parameters of queries."""

from collections.abc import Collection, Mapping

from nodeprefetch.aggregator.refusal import RefusedError


def check_parameters(query: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse unknown parameters.

    Raises:
        RefusedError: there is one.
    """
    if unknown := set(query).difference(known):
        raise RefusedError(400, "unknown_parameter", f"unknown parameter {min(unknown)[:40]!r}")


def read_limit(query: Mapping[str, str], *, default: int, largest: int) -> int:
    """Return how many results are wanted at most.

    Raises:
        RefusedError: it is not a number from 1 to the largest.
    """
    text = query.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest)) + 1 and 1 <= int(text) <= largest):
        raise RefusedError(400, "bad_limit", f"invalid limit: must be a number from 1 to {largest}")
    return int(text)
