"""`GET /v1/status`: instances, their nodes, and the images on them."""

import base64
import hashlib
import sqlite3
from collections import Counter
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.answers import json_answer
from nodeprefetch.aggregator.overview import node_state
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.service import Service
from nodeprefetch.aggregator.store import Store
from nodeprefetch.events import Outcome

_DEFAULT_LIMIT, _LARGEST_LIMIT = 1_000, 10_000
_COLUMNS = "state, since, attempt, duration, error, error_class, reason, size, digest"
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_KNOWN = frozenset({"instance", "node", "image", "state", "limit", "cursor"})

Key = tuple[_Number, _Number, _Number]
"""Numbers of node, instance and image: the order of the database, in which pages follow each other."""


async def status(service: Service, request: Request) -> Response:
    """One page, unless the client has it already.

    Raises:
        RefusedError: parameters that make no sense.
    """
    query = request.query_params
    if unknown := set(query) - _KNOWN:
        raise RefusedError(400, "unknown_parameter", f"no such parameter: {min(unknown)[:40]}")
    limit, after = _limit(query.get("limit")), _cursor(query.get("cursor"))
    digest = hashlib.blake2b(str(request.url.query).encode(), digest_size=6).hexdigest()
    tag = f'"{service.store.tag}-{digest}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if _matches(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    filters = {name: query[name] for name in ("instance", "node", "image", "state") if name in query}
    rows = _rows(service.store, filters, after, limit + 1)
    page = rows[:limit]
    answer: dict[str, Any] = {"instances": _grouped(service.store, page)}
    if after is None:
        answer["skew"] = service.overviews.latest().skew
    answer["next"] = _written(page[-1][:3]) if len(rows) > limit else None
    return json_answer(answer, headers=headers)


def _rows(store: Store, filters: dict[str, str], after: Key | None, count: int) -> list[tuple[Any, ...]]:
    records = store.records
    if filters.get("state", Outcome.FAILED) not in set(Outcome):
        raise RefusedError(400, "unknown_state", f"the states are {', '.join(Outcome)}")
    conditions, values = ["1"], list[object]()
    for name, names in (("instance", records.instances), ("node", records.nodes), ("image", records.images)):
        if name in filters:
            conditions.append(f"{name} = ?")
            values.append(names.find(filters[name]))  # None where it is not known: equals nothing
    if "state" in filters:
        conditions.append("state = ?")
        values.append(filters["state"])
    if after is not None:
        conditions.append("(node, instance, image) > (?, ?, ?)")
        values.extend(after)
    return store.database.execute(
        f"SELECT node, instance, image, run, {_COLUMNS} FROM state WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY node, instance, image LIMIT ?",
        (*values, count),
    ).fetchall()


def _grouped(store: Store, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    records = store.records
    instances, nodes, images = (names.by_number() for names in (records.instances, records.nodes, records.images))
    grouped: dict[int, dict[int, list[dict[str, Any]]]] = {}
    runs: dict[tuple[int, int], int] = {}
    for node, instance, image, run, *values in rows:
        shown = {name: value for name, value in zip(_COLUMNS.split(", "), values, strict=True) if value}
        if shown["state"] == Outcome.PULLING:
            shown |= records.under_way.shown((node, instance, image), run)
        grouped.setdefault(instance, {}).setdefault(node, []).append({"image": images[image], **shown})
        runs[instance, node] = max(run, runs.get((instance, node), 0))
    return [
        {
            "instance": instances[instance],
            "nodes": [
                {
                    "node": nodes[node],
                    **_about(store.database, node, instance, runs[instance, node]),
                    "images": sorted(found, key=lambda each: str(each["image"])),
                }
                for node, found in sorted(by_node.items(), key=lambda item: nodes[item[0]])
            ],
        }
        for instance, by_node in sorted(grouped.items(), key=lambda item: instances[item[0]])
    ]


def _about(database: sqlite3.Connection, node: int, instance: int, run: int) -> dict[str, Any]:
    """State and counts of a node, over all its images whatever the page shows, and its latest run."""
    counts = Counter[str]()
    select = "SELECT state, count(*) FROM state WHERE node = ? AND instance = ? GROUP BY state"
    for state, count in database.execute(select, (node, instance)):
        counts[state] = count
    about: dict[str, Any] = {"state": node_state(counts), "counts": counts}
    found = database.execute(
        "SELECT run_id, version, runtime, started_at, ended_at, ended FROM run WHERE id = ?", (run,)
    ).fetchone()
    if found is not None:
        names = ("run_id", "version", "runtime", "started_at", "ended_at", "end")
        about["run"] = {name: value for name, value in zip(names, found, strict=True) if value}
    return about


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= _LARGEST_LIMIT):  # noqa: PLR2004
        raise RefusedError(400, "bad_limit", f"limit is a number from 1 to {_LARGEST_LIMIT}")
    return int(text)


def _cursor(text: str | None) -> Key | None:
    if text is None:
        return None
    try:
        key: Key = msgspec.msgpack.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=Key)
    except (ValueError, msgspec.MsgspecError) as error:
        raise RefusedError(400, "bad_cursor", "cursor is what `next` said") from error
    return key


def _written(key: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(key)).decode()


def _matches(tag: str, header: str) -> bool:
    """https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2: weakly compared."""
    return header.strip() == "*" or tag in [each.strip().removeprefix("W/") for each in header.split(",")]
