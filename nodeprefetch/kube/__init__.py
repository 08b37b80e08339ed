"""The Kubernetes API, as far as this program needs it."""

from nodeprefetch.kube.api import Kube, connect
from nodeprefetch.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
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
from nodeprefetch.kube.objects import Condition, Node, NodeEvent, Taint, TokenReview
from nodeprefetch.kube.server import namespace_of_pod

__all__ = [
    "Condition",
    "ConflictError",
    "ForbiddenError",
    "InvalidError",
    "Kube",
    "KubeConfigError",
    "KubeError",
    "Node",
    "NodeEvent",
    "NotFoundError",
    "NotInClusterError",
    "PassingKubeError",
    "ServerFailedError",
    "Taint",
    "TokenReview",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnreachableError",
    "connect",
    "namespace_of_pod",
]
