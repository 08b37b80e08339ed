"""`GET /v1/status`: instances, their nodes, and the images on them, in pages."""

import base64
import hashlib
import sqlite3
from collections import Counter
from contextlib import aclosing
from typing import Any

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError, json_response
from nodeprefetch.aggregator.server.middleware import address_of
from nodeprefetch.aggregator.store.gates import gave_up_of
from nodeprefetch.aggregator.store.node_facts import facts_of
from nodeprefetch.aggregator.store.node_reports import rejection_of
from nodeprefetch.aggregator.store.overview import node_state
from nodeprefetch.aggregator.store.slices import FIRST, LAST, WITHIN, StateKey, slices
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web.etag import is_known
from nodeprefetch.aggregator.web.query import check_parameters, read_limit
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.events import Outcome

_DEFAULT_LIMIT, _LARGEST_LIMIT = 1_000, 10_000
_COLUMNS = "state, since, attempt, duration, error, error_class, reason, size, digest, moved_at, moved_from, moved_to"
_NAMES = _COLUMNS.split(", ")
_ERROR = 4 + _NAMES.index("error")
"""Index of the error in a row, after node, instance, image and run."""

_KNOWN = frozenset({"instance", "node", "image", "state", "limit", "cursor"})

_LARGE = 4 << 20
"""Characters of errors after which a page ends early."""

_NODES_AT_ONCE, _IMAGES_AT_ONCE = 50, 500
"""Nodes and images of a page after which other tasks run."""


async def status(service: Service, request: Request) -> Response:
    """Return one page, or 304 if the client has it already.

    Raises:
        RefusedError: a parameter is unknown or invalid.
    """
    async with service.lock.hold(address_of(request.scope)):
        return await _page(service, request)


async def _page(service: Service, request: Request) -> Response:
    query = request.query_params
    check_parameters(query, _KNOWN)
    limit = read_limit(query, default=_DEFAULT_LIMIT, largest=_LARGEST_LIMIT)
    after = _cursor(query.get("cursor"))
    tickets = {instance: counts._asdict() for instance, counts in sorted(service.tickets.counts().items())}
    asked = str(request.url.query).encode() + msgspec.json.encode(tickets)
    digest = hashlib.blake2b(asked, digest_size=6).hexdigest()
    tag = f'"{service.store.tag}-{digest}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if is_known(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    filters = {name: query[name] for name in ("instance", "node", "image", "state") if name in query}
    page, has_more = await _rows(service.store, filters, after, limit)
    answer: dict[str, Any] = {"instances": await _grouped(service.store, page)}
    if after is None:
        answer["skew"] = await service.overviews.skew()
        answer["tickets"] = tickets
        answer["gone"] = _gone(service.store)
    answer["next"] = _encode_cursor(page[-1][:3]) if has_more else None
    return json_response(answer, headers=headers)


async def _rows(
    store: Store, filters: dict[str, str], after: StateKey | None, limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows of a page, and whether there are more."""
    records = store.records
    if filters.get("state", Outcome.FAILED) not in set(Outcome):
        raise RefusedError(400, "unknown_state", f"invalid state (must be one of {', '.join(Outcome)})")
    conditions, values = [WITHIN], list[object]()
    for name, names in (("instance", records.instances), ("node", records.nodes), ("image", records.images)):
        if name in filters:
            conditions.append(f"{name} = ?")
            values.append(names.find(filters[name]))  # None if unknown: matches nothing
    if "state" in filters:
        conditions.append("state = ?")
        values.append(filters["state"])
    first, last = FIRST, LAST
    if "node" in filters and (node := records.nodes.find(filters["node"])) is not None:
        first, last = (node, 0, 0), (node, *LAST[1:])
    select = (
        f"SELECT node, instance, image, run, {_COLUMNS} FROM state WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY node, instance, image LIMIT ?"
    )
    rows: list[tuple[Any, ...]] = []
    size = 0
    async with aclosing(slices(store.database, max(first, after or FIRST), last)) as parts:
        async for part in parts:
            for row in store.database.execute(select, (*part, *values, limit + 1 - len(rows))).fetchall():
                if len(rows) == limit or size > _LARGE:
                    return rows, True
                rows.append(row)
                size += len(row[_ERROR])
    return rows, False


async def _grouped(store: Store, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    records = store.records
    instances, nodes, images = (names.by_number() for names in (records.instances, records.nodes, records.images))
    grouped: dict[int, dict[int, list[dict[str, Any]]]] = {}
    runs: dict[tuple[int, int], int] = {}
    for index, (node, instance, image, run, *values) in enumerate(rows):
        if index % _IMAGES_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        shown = {name: value for name, value in zip(_NAMES, values, strict=True) if value}
        if "moved_from" in shown:
            moved = ("moved_at", "at"), ("moved_from", "before"), ("moved_to", "after")
            shown["moved"] = {key: shown.pop(name, 0) for name, key in moved}
        if shown["state"] == Outcome.PULLING:
            shown |= records.progress.shown((node, instance, image), run)
        grouped.setdefault(instance, {}).setdefault(node, []).append({"image": images[image], **shown})
        runs[instance, node] = max(run, runs.get((instance, node), 0))
    about: dict[tuple[int, int], dict[str, Any]] = {}
    for index, ((instance, node), run) in enumerate(runs.items()):
        if index % _NODES_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        about[instance, node] = _about(store.database, node, instance, run)
    return [
        {
            "instance": instances[instance],
            "nodes": [
                {
                    "node": nodes[node],
                    **about[instance, node],
                    "images": sorted(found, key=lambda each: str(each["image"])),
                }
                for node, found in sorted(by_node.items(), key=lambda item: nodes[item[0]])
            ],
        }
        for instance, by_node in sorted(grouped.items(), key=lambda item: instances[item[0]])
    ]


def _gone(store: Store) -> dict[str, Any]:
    """Return how many nodes of each instance are gone, and some of them."""
    instances, nodes = store.records.instances.by_number(), store.records.nodes.by_number()
    return {
        instances[instance]: {"nodes": gone.nodes, "examples": sorted(nodes[node] for node in gone.examples)}
        for instance, gone in store.records.node_reports.gone().items()
    }


def _about(database: sqlite3.Connection, node: int, instance: int, run: int) -> dict[str, Any]:
    """Return the state of a node and counts of all its images, whatever the page shows, and its latest run."""
    counts = Counter[str]()
    select = "SELECT state, count(*) FROM state WHERE node = ? AND instance = ? GROUP BY state"
    for state, count in database.execute(select, (node, instance)):
        counts[state] = count
    about: dict[str, Any] = {"state": node_state(counts), "counts": counts}
    about |= {name: value for name, value in facts_of(database, node)._asdict().items() if value}
    if gave_up := gave_up_of(database, node, instance):
        about["gave_up"] = gave_up
    if rejected := rejection_of(database, node, instance):
        about["list_rejected"] = rejected
    found = database.execute(
        "SELECT run_id, version, runtime, list_digest, started_at, ended_at, ended FROM run WHERE id = ?", (run,)
    ).fetchone()
    if found is not None:
        names = ("run_id", "version", "runtime", "list_digest", "started_at", "ended_at", "end")
        about["run"] = {name: value for name, value in zip(names, found, strict=True) if value}
    return about


def _cursor(text: str | None) -> StateKey | None:
    if text is None:
        return None
    try:
        key: StateKey = msgspec.msgpack.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=StateKey)
    except (ValueError, msgspec.MsgspecError) as error:
        raise RefusedError(400, "bad_cursor", "invalid cursor: use the value of `next`") from error
    return key


def _encode_cursor(key: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(key)).decode()
