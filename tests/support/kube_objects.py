"""The objects of the fake Kubernetes API: what its requests do to nodes, and what reviews of tokens find."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.kube_reads import ReadObjects

_NODES = "/api/v1/nodes/"
_STATUS = "/status"
_EVENTS = "/api/v1/namespaces/default/events"
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_DAEMON_SET = re.compile("/apis/apps/v1/namespaces/(?P<namespace>[^/]+)/daemonsets/(?P<name>[^/]+)")
_STRATEGIC = "application/strategic-merge-patch+json"
_MERGE_PATCHES = ("application/merge-patch+json", _STRATEGIC)
"""For maps of strings such as labels, the two do the same."""

_JSON_PATCH = "application/json-patch+json"
_TAINT = re.compile(r"/spec/taints/(\d+)")

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
}


class Answer(NamedTuple):
    """Status code and JSON body."""

    status: int
    body: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewedToken:
    """Whose a token is."""

    username: str
    audiences: tuple[str, ...]
    """Those it is for."""

    node_name: str = ""
    is_for_any_audience: bool = False
    """The server does not look at audiences, and names none in its answer."""


@dataclass(slots=True)
class KubeObjects:
    """All of them. To be used by one thread at a time."""

    tokens: dict[str, ReviewedToken] = field(default_factory=dict)
    daemon_sets: dict[tuple[str, str], int] = field(default_factory=dict)
    """Number of nodes by namespace and name."""

    events: list[dict[str, Any]] = field(default_factory=list)
    """Those in the namespace `default`."""

    reads: ReadObjects = field(default_factory=ReadObjects)
    """What is only read."""

    _nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _version: int = 1000

    def add_node(self, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """One more node."""
        self._nodes[name] = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": dict(labels), "annotations": dict(annotations)},
        }
        self.touch(name)

    def touch(self, name: str) -> None:
        """Somebody else writes to the node."""
        self._version += 1
        self._nodes[name]["metadata"]["resourceVersion"] = str(self._version)

    def metadata(self, name: str, which: str) -> dict[str, str]:
        """Labels or annotations of a node."""
        return dict(self._nodes[name]["metadata"].get(which, {}))

    def conditions(self, name: str) -> dict[str, dict[str, Any]]:
        """The conditions of a node, by type."""
        return {each["type"]: dict(each) for each in self._nodes[name].get("status", {}).get("conditions", [])}

    def set_conditions(self, name: str, conditions: list[dict[str, Any]]) -> None:
        """Somebody else writes all conditions of a node."""
        self._nodes[name]["status"] = {"conditions": copy.deepcopy(conditions)}
        self.touch(name)

    def taints(self, name: str) -> list[dict[str, Any]]:
        """The taints of a node."""
        return copy.deepcopy(self._nodes[name].get("spec", {}).get("taints", []))

    def set_taints(self, name: str, taints: list[dict[str, Any]]) -> None:
        """Somebody else writes all taints of a node."""
        self._nodes[name]["spec"] = {"taints": copy.deepcopy(taints)} if taints else {}
        self.touch(name)

    def answer(self, method: str, path: str, content_type: str, body: Any) -> Answer:
        """Do what a request wants."""
        if method == "GET" and (read := self.reads.answer(path)) is not None:
            return Answer(*read)
        if path == _REVIEWS and method == "POST":
            return self._review(body)
        daemon_set = _DAEMON_SET.fullmatch(path)
        if daemon_set is not None and method == "GET":
            return self._count_nodes(daemon_set["namespace"], daemon_set["name"])
        if path == _EVENTS and method == "POST":
            return self._create_event(body)
        return self._answer_about_node(method, path, content_type, body)

    def _answer_about_node(self, method: str, path: str, content_type: str, body: Any) -> Answer:
        name = path.removeprefix(_NODES).removesuffix(_STATUS)
        if not path.startswith(_NODES) or name not in self._nodes:
            return refusal(404, f'nodes "{name}" not found')
        if method == "GET":
            return Answer(200, copy.deepcopy(self._nodes[name]))
        if method != "PATCH":
            return refusal(405, "the server does not allow this method on the requested resource")
        if path.endswith(_STATUS):
            return self._patch_status(name, content_type, body)
        if content_type == _JSON_PATCH:
            return self._remove_taints(name, body)
        if content_type not in _MERGE_PATCHES:
            return refusal(415, f"the body of the request was in an unknown format: {content_type}")
        return self._patch(name, body["metadata"])

    def _count_nodes(self, namespace: str, name: str) -> Answer:
        nodes = self.daemon_sets.get((namespace, name))
        if nodes is None:
            return refusal(404, f'daemonsets.apps "{name}" not found')
        status = {"desiredNumberScheduled": nodes, "currentNumberScheduled": nodes, "numberMisscheduled": 0}
        return Answer(200, {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {}, "status": status})

    def _patch_status(self, name: str, content_type: str, body: dict[str, Any]) -> Answer:
        """Merge conditions by their types: a merge patch would replace the whole list."""
        if content_type != _STRATEGIC:
            return refusal(415, f"the body of the request was in an unknown format: {content_type}")
        if conflict := self._conflict(name, body.get("metadata", {})):
            return conflict
        status = self._nodes[name].setdefault("status", {})
        known = {each["type"]: each for each in status.get("conditions", [])}
        for change in body["status"]["conditions"]:
            known[change["type"]] = {**known.get(change["type"], {}), **change}
        if list(known.values()) != status.get("conditions", []):
            status["conditions"] = list(known.values())
            self.touch(name)
        return Answer(200, copy.deepcopy(self._nodes[name]))

    def _create_event(self, body: dict[str, Any]) -> Answer:
        name = body["metadata"]["name"]
        if name in {each["metadata"]["name"] for each in self.events}:
            return refusal(409, f'events "{name}" already exists')
        self.events.append(body)
        return Answer(201, copy.deepcopy(body))

    def _conflict(self, name: str, metadata: dict[str, Any]) -> Answer | None:
        version = self._nodes[name]["metadata"]["resourceVersion"]
        if metadata.get("resourceVersion", version) == version:
            return None
        return refusal(
            409, f'Operation cannot be fulfilled on nodes "{name}": the object has been modified; please apply'
        )

    def _patch(self, name: str, change: dict[str, Any]) -> Answer:
        metadata = self._nodes[name]["metadata"]
        if conflict := self._conflict(name, change):
            return conflict
        before = copy.deepcopy(metadata)
        for which in ("labels", "annotations"):
            for key, value in (change.get(which) or {}).items():
                if value is None:
                    metadata[which].pop(key, None)
                else:
                    metadata[which][key] = value
        if metadata != before:
            self.touch(name)
        return Answer(200, copy.deepcopy(self._nodes[name]))

    def _remove_taints(self, name: str, changes: list[dict[str, Any]]) -> Answer:
        """Do what a JSON patch wants, whose operations test and remove taints."""
        taints = self.taints(name)
        for change in changes:
            path = _TAINT.fullmatch(change["path"])
            place = int(path[1]) if path else len(taints)
            if place >= len(taints) or (change["op"] == "test" and taints[place] != change["value"]):
                return refusal(422, "the server rejected our request due to an error in our request")
            if change["op"] == "remove":
                del taints[place]
        self.set_taints(name, taints)
        return Answer(200, copy.deepcopy(self._nodes[name]))

    def _review(self, body: Any) -> Answer:
        spec = body["spec"]
        asked = spec.get("audiences") or []
        found = self.tokens.get(spec["token"])
        if found is None:
            status: dict[str, Any] = {"user": {}, "error": f"[invalid bearer token {spec['token']}]"}
            return Answer(201, {**body, "status": status})
        user: dict[str, Any] = {"username": found.username, "uid": "u-1", "groups": ["system:authenticated"]}
        if found.node_name:
            user["extra"] = {"authentication.kubernetes.io/node-name": [found.node_name]}
        status = {"authenticated": True, "user": user}
        if not found.is_for_any_audience:
            common = [audience for audience in found.audiences if audience in asked]
            if not common:
                error = f"token audiences {list(found.audiences)} is invalid for the target audiences {asked}"
                return Answer(201, {**body, "status": {"user": {}, "error": error}})
            status["audiences"] = common
        return Answer(201, {**body, "status": status})


def refusal(status: int, message: str) -> Answer:
    """A `Status` object (meta/v1), as API servers answer what they do not do."""
    return Answer(
        status,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": _REASONS.get(status, "InternalError"),
            "code": status,
        },
    )
