"""Objects of the fake Kubernetes API that are only read: DaemonSets, pods, ConfigMaps, versions of pods, Services."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

GROUPS = {"daemonsets": "/apis/apps/v1", "controllerrevisions": "/apis/apps/v1"}
"""Of resources that are not of the core group."""

Body = Any
Proxied = Callable[[str], tuple[int, Body]]
"""What a Service answers to a path with its query: status and JSON, or text."""


@dataclass(slots=True)
class ReadObjects:
    """They are as a test has put them. To be used by one thread at a time."""

    objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = field(default_factory=dict)
    """By resource, then by namespace and name."""

    services: dict[tuple[str, str], Proxied] = field(default_factory=dict)
    """By namespace, and name with port: `web-metrics:http`."""

    logs: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """By namespace, pod and container; ` (previous)` follows its name for the log from before its last restart."""

    forbidden: set[str] = field(default_factory=set)
    """`VERB RESOURCE`, followed by ` NAMESPACE` if it is about one: `list pods infra`, `list daemonsets`."""

    largest_page: int = 500

    def put(self, resource: str, body: Mapping[str, Any]) -> None:
        """Add an object, or replace the one with its name."""
        metadata = body["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        self.objects.setdefault(resource, {})[key] = copy.deepcopy(dict(body))

    def remove(self, resource: str, namespace: str, name: str) -> None:
        """Remove an object."""
        del self.objects[resource][namespace, name]

    def answer(self, path: str) -> tuple[int, Body] | None:
        """The status and the body for a GET request; None: it is about something else."""
        path, _, query = path.partition("?")
        parts = path.removeprefix("/apis/apps/v1/").removeprefix("/api/v1/").split("/")
        namespace, parts = (parts[1], parts[2:]) if parts[0] == "namespaces" and len(parts) > 2 else ("", parts)
        resource, names = parts[0], parts[1:]
        if names[1:2] == ["proxy"]:
            return self._proxied(namespace, names[0], f"/{'/'.join(names[2:])}{f'?{query}' if query else ''}")
        if names[1:] == ["log"]:
            return self._log(namespace, names[0], dict(parse_qsl(query)))
        if names and resource in self.objects:
            return self._one(resource, namespace, names[0])
        if not names and (resource in self.objects or resource in GROUPS or resource in {"pods", "configmaps"}):
            return self._page(resource, namespace, dict(parse_qsl(query)))
        return None

    def _refusal(self, verb: str, resource: str, namespace: str) -> tuple[int, Body] | None:
        if f"{verb} {resource} {namespace}".strip() not in self.forbidden:
            return None
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        return _status(403, "Forbidden", f'{resource} is forbidden: User "me" cannot {verb} resource {where}')

    def _one(self, resource: str, namespace: str, name: str) -> tuple[int, Body] | None:
        if refusal := self._refusal("get", resource, namespace):
            return refusal
        found = self.objects[resource].get((namespace, name))
        if found is None:
            return None if resource == "daemonsets" else _status(404, "NotFound", f'{resource} "{name}" not found')
        return 200, copy.deepcopy(found)

    def _page(self, resource: str, namespace: str, query: Mapping[str, str]) -> tuple[int, Body]:
        if refusal := self._refusal("list", resource, namespace):
            return refusal
        wanted = dict(each.split("=", 1) for each in query.get("labelSelector", "").split(",") if each)
        fields = [each for each in query.get("fieldSelector", "").split(",") if each]
        found = [
            each
            for (of, _), each in sorted(self.objects.get(resource, {}).items())
            if namespace in ("", of)
            and wanted.items() <= (each["metadata"].get("labels") or {}).items()
            and all(_has_field(each, *selector.split("=", 1)) for selector in fields)
        ]
        start = int(query.get("continue", "0"))
        end = start + min(int(query.get("limit", "500")), self.largest_page)
        metadata = {"continue": str(end)} if end < len(found) else {}
        return 200, {"kind": "List", "metadata": metadata, "items": copy.deepcopy(found[start:end])}

    def _proxied(self, namespace: str, service: str, path: str) -> tuple[int, Body]:
        if refusal := self._refusal("get", "services/proxy", namespace):
            return refusal
        if (namespace, service) not in self.services:
            return _status(404, "NotFound", f'services "{service.partition(":")[0]}" not found')
        return self.services[namespace, service](path)

    def _log(self, namespace: str, pod: str, query: Mapping[str, str]) -> tuple[int, Body]:
        if refusal := self._refusal("get", "pods/log", namespace):
            return refusal
        container = query["container"] + (" (previous)" if query.get("previous") == "true" else "")
        text = self.logs.get((namespace, pod, container))
        if text is None:
            return _status(404, "NotFound", f'pods "{pod}" not found')
        return 200, "".join(text.splitlines(keepends=True)[-int(query["tailLines"]) :]).encode()


def _has_field(body: Mapping[str, Any], field: str, wanted: str) -> bool:
    """Whether an object has a field, as `PATH=VALUE` or `PATH!=VALUE` of a field selector say."""
    value: Any = body
    for key in field.removesuffix("!").split("."):
        value = value.get(key, "") if isinstance(value, dict) else ""
    return bool(value != wanted if field.endswith("!") else value == wanted)


def _status(code: int, reason: str, message: str) -> tuple[int, Body]:
    return code, json.loads(
        json.dumps({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
    )
