"""What goes wrong with the Kubernetes API: a tree of its own. One line each, no token in it."""

from nodeprefetch.errors import NodeprefetchError


class KubeError(NodeprefetchError):
    """Raised when something of the Kubernetes API did not work.

    Args:
        text: what was tried, what came back.
        retry_after: seconds the server asks to wait; None: it asks for nothing.
    """

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NotInClusterError(KubeError):
    """Raised when this process is in no pod with a service account, and no kubeconfig was given."""


class KubeConfigError(KubeError):
    """Raised when the kubeconfig file cannot be used."""


class UnauthorizedError(KubeError):
    """401: the API server does not know who we are."""


class ForbiddenError(KubeError):
    """403: it knows, and we may not."""


class NotFoundError(KubeError):
    """404: there is no such object."""


class PassingKubeError(KubeError):
    """What may work when it is tried again."""


class ConflictError(PassingKubeError):
    """409: the object has changed meanwhile."""


class TooManyRequestsError(PassingKubeError):
    """429: the API server has too much to do."""


class ServerFailedError(PassingKubeError):
    """5xx: the API server, or something behind it, does not work."""


class UnreachableError(PassingKubeError):
    """No answer: no connection, a failed TLS handshake, a connection that was cut, silence."""
