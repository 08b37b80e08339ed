"""The Kubernetes API, as far as this program needs it."""

from nodeprefetch.kube.api import Kube, connect
from nodeprefetch.kube.errors import (
    ConflictError,
    ForbiddenError,
    KubeConfigError,
    KubeError,
    NotFoundError,
    NotInClusterError,
    PassingKubeError,
    ServerFailedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from nodeprefetch.kube.objects import Node, TokenReview
from nodeprefetch.kube.server import namespace_of_pod

__all__ = [
    "ConflictError",
    "ForbiddenError",
    "Kube",
    "KubeConfigError",
    "KubeError",
    "Node",
    "NotFoundError",
    "NotInClusterError",
    "PassingKubeError",
    "ServerFailedError",
    "TokenReview",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnreachableError",
    "connect",
    "namespace_of_pod",
]
