"""What we ask of the Kubernetes API: read and patch a node, review a token.

The client blocks: it is called in worker threads, and its errors are mapped here to ours.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

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

NODE_NAME_EXTRA = "authentication.kubernetes.io/node-name"
"""In the extra fields of a user: the node of the pod that a token is bound to, from Kubernetes 1.30 on (KEP 4193)."""

CALL_LIMIT = 30.0
"""Seconds after which a call's thread gives up waiting for bytes, also where the caller has no deadline."""

TEXT_LIMIT = 300
"""Characters of what a server said that go into an error's text."""

_SHORTEST_WAIT = 0.001  # seconds; urllib3 refuses 0
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]*(\.[\w-]*)?")
_SHORTEST_SECRET = 4

_BY_STATUS: Mapping[int, type[KubeError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: TooManyRequestsError,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """What we read of a node."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    resource_version: str
    """Changes with the object; opaque."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenReview:
    """What the API server says about a token (authentication.k8s.io/v1)."""

    authenticated: bool
    """The token is valid, and for the audience asked for."""

    username: str = ""
    """`system:serviceaccount:namespace:name` for a service account."""

    node_name: str = ""
    """Node that the token is bound to; empty when it is bound to none."""

    audiences: tuple[str, ...] = ()
    error: str = ""
    """Why not, when the server says it."""


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
        return _node(await self._call(f"reading node {name}", "GET", _node_path(name)))

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
            f"patching node {name}",
            "PATCH",
            _node_path(name),
            body={"metadata": metadata},
            content_type="application/merge-patch+json",
        )
        return _node(answer)

    async def review_token(self, token: str, audience: str) -> TokenReview:
        """Ask whether a token is valid for an audience, and whose it is.

        A server that does not answer for that audience has not checked it: the token then counts as not valid.
        """
        answer = await self._call(
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
        status = _object(answer, "status")
        user = _object(status, "user")
        audiences = tuple(status.get("audiences") or ())
        error = _one_line(str(status.get("error") or ""), (token,))
        authenticated = status.get("authenticated") is True
        if authenticated and audience not in audiences:
            authenticated, error = False, error or f"the token was not checked for the audience {audience}"
        nodes = _object(user, "extra").get(NODE_NAME_EXTRA) or [""]
        return TokenReview(
            authenticated=authenticated,
            username=str(user.get("username") or ""),
            node_name=str(nodes[0]),
            audiences=audiences,
            error=error,
        )

    async def _call(
        self,
        what: str,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        secret: str = "",
    ) -> dict[str, Any]:
        """The object that the API server answers with."""
        rest = trio.current_effective_deadline() - trio.current_time()
        call = partial(
            self._client.call_api,
            path,
            method,
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            # a pair, because the client ignores a single number that is no int
            _request_timeout=(max(min(rest, CALL_LIMIT), _SHORTEST_WAIT),) * 2,
        )
        return await trio.to_thread.run_sync(
            self._call_in_thread, what, call, secret, abandon_on_cancel=True, limiter=self._threads
        )

    def _call_in_thread(self, what: str, call: Callable[[], Any], secret: str) -> dict[str, Any]:
        try:
            answer = call()
        except self._foreign.api_error as error:
            raise self._mapped(what, error, secret) from error
        except (self._foreign.connection_error, OSError) as error:
            raise UnreachableError(f"{what}: {self._text(str(error), secret)}") from error
        except ValueError as error:  # no JSON in UTF-8, or a token that no header can carry: its text may hold anything
            raise KubeError(f"{what}: {type(error).__name__}") from None
        if not isinstance(answer, dict):
            raise KubeError(f"{what}: the answer is no JSON object: is this a Kubernetes API server?")
        return answer

    def _mapped(self, what: str, error: Any, secret: str) -> KubeError:
        if not error.status:  # TLS
            return UnreachableError(f"{what}: {self._text(str(error.reason), secret)}")
        kind = _BY_STATUS.get(error.status, ServerFailedError if error.status >= 500 else KubeError)  # noqa: PLR2004
        said = self._text(_message(error.body or "") or str(error.reason), secret)
        return kind(
            f"{what}: {error.status}: {said}", retry_after=_seconds(str((error.headers or {}).get("Retry-After", "")))
        )

    def _text(self, text: str, secret: str) -> str:
        key = str(self._client.configuration.api_key.get("authorization", ""))
        return _one_line(text, (secret, key.rpartition(" ")[2]))


async def connect(
    kubeconfig: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
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


def _node(answer: dict[str, Any]) -> Node:
    metadata = _object(answer, "metadata")
    return Node(
        name=str(metadata.get("name", "")),
        labels=_object(metadata, "labels"),
        annotations=_object(metadata, "annotations"),
        resource_version=str(metadata.get("resourceVersion", "")),
    )


def _object(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The JSON object there, or an empty one: servers leave out what is empty."""
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _message(body: str) -> str:
    """What the body says: the message of a `Status` object, else the body itself."""
    try:
        status = json.loads(body)
    except ValueError:
        return body
    return str(status.get("message", "")) if isinstance(status, dict) else body


def _seconds(text: str) -> float | None:
    """The number of seconds of a `Retry-After`; its other form, a date, depends on clocks and is not used here."""
    return float(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _one_line(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    line = " ".join("".join(char if char.isprintable() else " " for char in _JWT.sub("***", text)).split())
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1] + "…"
