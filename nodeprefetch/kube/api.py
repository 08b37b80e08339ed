"""What we ask of the Kubernetes API: read and patch a node, review a token.

The client blocks: it is called in worker threads, and its errors are mapped here to ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import trio

from nodeprefetch.kube.client import SERVICE_ACCOUNT, THREADS, Foreign, in_cluster_client, kubeconfig_client
from nodeprefetch.kube.errors import (
    ConflictError,
    ForbiddenError,
    KubeError,
    NotFoundError,
    ServerFailedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from nodeprefetch.kube.exchange import Answer, AnswerTooLargeError
from nodeprefetch.kube.objects import Node, NodeAnswer, ReviewAnswer, TokenReview
from nodeprefetch.kube.said import message_of, one_line, seconds_of

CALL_LIMIT = 30.0
"""Seconds after which a call's thread gives up waiting for bytes, also where the caller has no deadline."""

_SHORTEST_WAIT = 0.001  # seconds; urllib3 refuses 0
Kind = TypeVar("Kind")

_BY_STATUS: Mapping[int, type[KubeError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: TooManyRequestsError,
}


class Kube:
    """A connection to the Kubernetes API. May be used by many tasks at once.

    A cancelled call returns at once; its request may still be carried out. All methods raise `KubeError`s.

    Args:
        client: an `ApiClient`.
        foreign: the classes of the client.
    """

    def __init__(self, client: Any, foreign: Foreign) -> None:
        self._client = client
        self._foreign = foreign
        self._threads = trio.CapacityLimiter(THREADS)

    async def get_node(self, name: str) -> Node:
        """Read a node."""
        return (await self._call(NodeAnswer, f"reading node {name}", "GET", _node_path(name))).node()

    async def patch_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str | None = None,
    ) -> Node:
        """Change labels and annotations of a node with one request (JSON merge patch, RFC 7386).

        Args:
            name: of the node.
            labels: values by key; None takes the key away. What is not named stays.
            annotations: the same.
            resource_version: change only this version of the node; any other raises `ConflictError`.
        """
        metadata: dict[str, object] = {"labels": labels or {}, "annotations": annotations or {}}
        if resource_version is not None:
            metadata["resourceVersion"] = resource_version
        answer = await self._call(
            NodeAnswer,
            f"patching node {name}",
            "PATCH",
            _node_path(name),
            body={"metadata": metadata},
            content_type="application/merge-patch+json",
        )
        return answer.node()

    async def review_token(self, token: str, audience: str) -> TokenReview:
        """Ask whether a token is valid for an audience, and whose it is.

        A server that does not answer for that audience has not checked it: the token then counts as not valid.
        """
        answer = await self._call(
            ReviewAnswer,
            "reviewing a token",
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [audience]},
            },
            secret=token,
        )
        review = answer.for_audience(audience)
        return replace(review, error=one_line(review.error, (token,)))

    async def _call(
        self,
        kind: type[Kind],
        what: str,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        secret: str = "",
    ) -> Kind:
        """The object that the API server answers with."""
        rest = trio.current_effective_deadline() - trio.current_time()
        call = partial(
            self._client.call_api,
            path,
            method,
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=max(min(rest, CALL_LIMIT), _SHORTEST_WAIT),
        )
        return await trio.to_thread.run_sync(
            self._call_in_thread, kind, what, call, secret, abandon_on_cancel=True, limiter=self._threads
        )

    def _call_in_thread(self, kind: type[Kind], what: str, call: Callable[[], Answer], secret: str) -> Kind:
        try:
            answer = call()
        except (self._foreign.connection_error, OSError) as error:
            raise UnreachableError(f"{what}: {self._text(str(error), secret)}") from error
        except AnswerTooLargeError as error:
            raise KubeError(f"{what}: {error}") from error
        except ValueError as error:  # a token that no header can carry: its text may hold anything
            raise KubeError(f"{what}: {type(error).__name__}") from None
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - success
            raise self._refused(what, answer, secret)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (ValueError, RecursionError) as error:  # the text names types and keys of ours, no values
            raise KubeError(f"{what}: invalid answer: {error} (is this a Kubernetes API server?)") from None

    def _refused(self, what: str, answer: Answer, secret: str) -> KubeError:
        error = _BY_STATUS.get(answer.status, ServerFailedError if answer.status >= 500 else KubeError)  # noqa: PLR2004
        said = self._text(message_of(answer.body) or answer.reason, secret)
        return error(
            f"{what}: {answer.status}: {said}", retry_after=seconds_of(str(answer.headers.get("Retry-After", "")))
        )

    def _text(self, text: str, secret: str) -> str:
        key = str(self._client.configuration.api_key.get("authorization", ""))
        return one_line(text, (secret, key.rpartition(" ")[2]))


async def connect(
    kubeconfig: str | None = None,
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
    mount: Path = SERVICE_ACCOUNT,
) -> Kube:
    """Load the client and build it; nothing is asked of the API server yet.

    Args:
        kubeconfig: a file; None: the pod's service account.
        environment: says where the API server of this cluster is.
        mount: directory of the service account.

    Raises:
        NotInClusterError: no kubeconfig, and no service account.
        KubeConfigError: the kubeconfig cannot be used.
    """
    load = (
        partial(in_cluster_client, environment, mount) if kubeconfig is None else partial(kubeconfig_client, kubeconfig)
    )
    return Kube(*await trio.to_thread.run_sync(load, abandon_on_cancel=True))


def _node_path(name: str) -> str:
    return f"/api/v1/nodes/{quote(name, safe='')}"
