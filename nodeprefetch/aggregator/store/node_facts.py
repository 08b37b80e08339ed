"""What node objects say about where nodes belong: columns of the table `node`."""

import sqlite3
from typing import NamedTuple

from nodeprefetch.events import NodeDescribed

_PUT = """
UPDATE node SET zone = :zone, pool = :pool, created = :created
WHERE id = :node AND (zone, pool, created) IS NOT (:zone, :pool, :created)
"""


class NodeFacts(NamedTuple):
    """What is known of a node."""

    zone: str = ""
    pool: str = ""
    created: float = 0
    """Unix seconds; 0 if unknown."""


def put_facts(database: sqlite3.Connection, node: int, event: NodeDescribed) -> bool:
    """Take what a node says. Inside a transaction. Returns whether that is new."""
    values = {"node": node, "zone": event.zone, "pool": event.pool, "created": event.created}
    return database.execute(_PUT, values).rowcount > 0


def facts_of(database: sqlite3.Connection, node: int) -> NodeFacts:
    """Return what is known of a node, by its number."""
    found = database.execute("SELECT zone, pool, created FROM node WHERE id = ?", (node,)).fetchone()
    return NodeFacts(*found) if found else NodeFacts()
