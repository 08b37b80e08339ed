"""Asks the aggregator what it knows of one node: the state of each image, and all attempts."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

import msgspec

from nodeprefetch.board import AttemptRecord
from nodeprefetch.cluster.board_source import BoardSource
from nodeprefetch.cluster.image_facts import ImageFacts
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.cluster.together import together
from nodeprefetch.errors import NoAccessError, NodeprefetchError

MOST_ATTEMPTS = 1_000
"""Attempts that it is asked for."""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What the aggregator knows of a node."""

    images: Mapping[str, ImageFacts] = {}
    attempts: tuple[AttemptRecord, ...] = ()
    has_older_attempts: bool = False
    is_complete: bool = False
    """It has heard of the node, and has said all that was asked."""

    tickets: Mapping[str, int] = {}
    """Numbers of nodes of the installation by what they do: `waiting`, `pulling`, `warm`."""

    notes: tuple[str, ...] = ()


class _Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Of `GET /v1/attempts`."""

    attempts: tuple[AttemptRecord, ...]
    more: bool = False


class _StatusImage(ImageFacts, frozen=True, kw_only=True):
    image: str


class _StatusNode(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    images: tuple[_StatusImage, ...]


class _StatusInstance(msgspec.Struct, frozen=True, kw_only=True):
    instance: str
    nodes: tuple[_StatusNode, ...]


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    """Of `GET /v1/status`, as far as it is needed."""

    instances: tuple[_StatusInstance, ...]
    tickets: dict[str, dict[str, int | None]] = {}


async def ask_aggregator(source: BoardSource, installation: Installation, node: str, image: str | None) -> Reported:
    """Ask the aggregator about a node. Whatever it does not answer becomes a note.

    Args:
        source: how to ask it.
        installation: the installation.
        node: name of the node.
        image: whose attempts are wanted, as the node writes it; None: of all images.
    """
    about = {"instance": installation.instance, "node": node}
    wanted = {**about, "limit": MOST_ATTEMPTS, **({"image": image} if image is not None else {})}

    async def get(kind: type[msgspec.Struct], path: str, query: Mapping[str, object], what: str) -> object:
        """Return the answer, or why there is none."""
        try:
            body = await source.get(f"{path}?{urlencode(query)}", installation)
            return msgspec.json.decode(body, type=kind)
        except NoAccessError as refused:
            return f"the aggregator cannot be asked for {what}: {refused.on_one_line}"
        except NodeprefetchError as error:
            return f"the aggregator did not answer for {what}: {error}"
        except (ValueError, RecursionError):
            return f"the aggregator does not serve {what}: is its version older?"

    answers = await together(
        [
            partial(get, _Status, "/v1/status", about, "the state of this node"),
            partial(get, _Attempts, "/v1/attempts", wanted, "attempts"),
        ]
    )
    status, attempts = answers
    notes = tuple(answer for answer in answers if isinstance(answer, str))
    images: dict[str, ImageFacts] = {}
    tickets: dict[str, int] = {}
    if isinstance(status, _Status):
        images = {
            each.image: each
            for found in status.instances
            for known in found.nodes
            if (found.instance, known.node) == (installation.instance, node)
            for each in known.images
        }
        tickets = {name: count or 0 for name, count in status.tickets.get(installation.instance, {}).items()}
    known = attempts if isinstance(attempts, _Attempts) else _Attempts(attempts=())
    return Reported(
        images=images,
        attempts=known.attempts,
        has_older_attempts=known.more,
        is_complete=bool(images) and not notes,
        tickets=tickets,
        notes=notes,
    )
