"""The sender of a request, its bearer token, and the nodes that it may report for."""

from dataclasses import dataclass

from nodeprefetch.aggregator.refusal import RefusedError

_LONGEST_TOKEN = 16 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The authenticated sender of a request."""

    node: str | None = None
    """The only node it may report for; None: any."""

    def check_node(self, node: str) -> None:
        """Check that the caller may report for a node.

        Raises:
            RefusedError: it may not.
        """
        if self.node is not None and node != self.node:
            raise RefusedError(403, "wrong_node", f"this token may only report for node {self.node}")


def bearer(authorization: str) -> str:
    """Return the token in the header `Authorization`.

    Raises:
        RefusedError: there is none, or it is longer than 16 KiB.
    """
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
        raise unauthorized("missing bearer token (send it in the header Authorization)")
    return token


def unauthorized(detail: str) -> RefusedError:
    """Return the error for a caller that is not authenticated (401)."""
    return RefusedError(401, "unauthorized", detail)
