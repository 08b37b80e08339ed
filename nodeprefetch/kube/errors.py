"""Errors of the Kubernetes API. Their texts are one line and hold no token."""

from nodeprefetch.errors import NodeprefetchError


class KubeError(NodeprefetchError):
    """Raised when a call of the Kubernetes API, or getting ready for one, failed.

    Args:
        text: what was tried, what came back.
        retry_after: seconds the server asks to wait; None: it does not ask.
    """

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NotInClusterError(KubeError):
    """Raised when this process is not in a pod with a service account, and no kubeconfig was given."""


class KubeConfigError(KubeError):
    """Raised when the kubeconfig file cannot be used."""


class UnauthorizedError(KubeError):
    """401: authentication failed."""


class ForbiddenError(KubeError):
    """403: permission is missing."""


class NotFoundError(KubeError):
    """404: the object does not exist."""


class InvalidError(KubeError):
    """422: a `test` of a JSON patch does not hold, the object would be invalid, or a policy refuses the change."""


class PassingKubeError(KubeError):
    """An error that may pass: a retry makes sense."""


class ConflictError(PassingKubeError):
    """409: the object has been changed meanwhile."""


class TooManyRequestsError(PassingKubeError):
    """429: the API server is overloaded."""


class ServerFailedError(PassingKubeError):
    """5xx: the API server, or something that it depends on, failed."""


class UnreachableError(PassingKubeError):
    """No answer: no connection, a failed TLS handshake, a broken connection, a timeout."""
