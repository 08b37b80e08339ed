"""`GET /openapi.json`: what /v1 takes and gives, for programs that make clients."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch import __version__
from nodeprefetch.aggregator.refusal import json_answer
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.events import Batch, Outcome, Phase

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_COUNT: dict[str, Any] = {"type": "integer"}


async def document(_: Service, __: Request) -> Response:
    """The document, OpenAPI 3.1."""
    return json_answer(openapi())


def openapi() -> dict[str, Any]:
    """The document. Shapes of events come from the events themselves."""
    (batch,), schemas = msgspec.json.schema_components([Batch], ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "nodeprefetch aggregator", "version": __version__},
        "paths": {
            "/v1/events": {"post": _submission(batch), "get": _live()},
            "/v1/status": {"get": _status()},
        },
        "components": {
            "schemas": {
                **schemas,
                "Refusal": _object(reason=_TEXT, error=_TEXT),
                "Receipt": _object(accepted=_COUNT, duplicates=_COUNT),
                "Status": _status_schema(),
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _submission(batch: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": "Store events; acknowledged means stored.",
        "security": [{}, {"token": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/msgpack": {"schema": batch},
                "application/x-ndjson": {"schema": {**_TEXT, "description": "A batch a line."}},
            },
        },
        "responses": {
            "200": _answer("Stored.", "Receipt"),
            **{str(code): _answer("Refused.", "Refusal") for code in (400, 401, 403, 408, 413, 415, 429, 503)},
        },
    }


def _live() -> dict[str, Any]:
    return {
        "summary": "Follow events as server-sent events.",
        "parameters": [{"name": "Last-Event-ID", "in": "header", "schema": _TEXT}],
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": _TEXT}}},
            **{str(code): _answer("Refused.", "Refusal") for code in (400, 401, 403, 429)},
        },
    }


def _status() -> dict[str, Any]:
    parameters: dict[str, dict[str, Any]] = {
        "instance": _TEXT,
        "node": _TEXT,
        "image": _TEXT,
        "state": {**_TEXT, "enum": [str(outcome) for outcome in Outcome]},
        "limit": {**_COUNT, "minimum": 1, "maximum": 10_000, "default": 1_000},
        "cursor": {**_TEXT, "description": "What `next` said."},
    }
    return {
        "summary": "What is where: instances, nodes, images.",
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in parameters.items()],
        "responses": {
            "200": _answer("One page.", "Status"),
            "304": {"description": "As the client has it (If-None-Match)."},
            **{str(code): _answer("Refused.", "Refusal") for code in (400, 401, 403)},
        },
    }


def _status_schema() -> dict[str, Any]:
    image = _object(
        image=_TEXT,
        state=_TEXT,
        since=_NUMBER,
        attempt=_COUNT,
        duration=_NUMBER,
        error=_TEXT,
        error_class=_TEXT,
        reason=_TEXT,
        size=_COUNT,
        digest=_TEXT,
        phase={**_TEXT, "enum": [str(phase) for phase in Phase], "description": "While it is pulled, where seen."},
        done_bytes=_COUNT,
        total_bytes={**_COUNT, "description": "0: not known yet."},
        rate={**_COUNT, "description": "Bytes a second."},
    )
    image["required"] = ["image", "state"]
    node = _object(node=_TEXT, state=_TEXT, counts={"type": "object"}, run={"type": "object"}, images=_list(image))
    digest = _object(digest=_TEXT, nodes=_COUNT, examples=_list(_TEXT))
    return _object(
        instances=_list(_object(instance=_TEXT, nodes=_list(node))),
        skew=_list(_object(image=_TEXT, digests=_list(digest))),
        next={"type": ["string", "null"]},
    )


def _answer(description: str, schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}
