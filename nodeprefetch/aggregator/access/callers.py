"""Who sends a request, and what it may report."""

from dataclasses import dataclass

from nodeprefetch.aggregator.refusal import RefusedError

_LONGEST_TOKEN = 16 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sends a request."""

    node: str | None = None
    """The only node it may report for; None: any."""

    def may_report_for(self, node: str) -> None:
        """Pass, if it may.

        Raises:
            RefusedError: it may not.
        """
        if self.node is not None and node != self.node:
            raise RefusedError(403, "wrong_node", f"this token may report for node {self.node} alone")


def bearer(authorization: str) -> str:
    """The token in the header `Authorization`.

    Raises:
        RefusedError: there is none.
    """
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
        raise unauthorized("this needs a bearer token in the header Authorization")
    return token


def unauthorized(detail: str) -> RefusedError:
    """Nobody known."""
    return RefusedError(401, "unauthorized", detail)
