"""Asks the container runtime alone whether everything is still on the node: most runs of `keep` need no more.

Loads neither the command line nor what pulls, which saves a third of the processor time of such a run.
"""

import trio

from nodeprefetch.cli.environment import read_environment
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.keep.orders import Expected, Order
from nodeprefetch.runtime.api import Inventory
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within


def finds_everything(order: str) -> bool:
    """Whether all images are on the node, and pinned, as the last good run has left them.

    Args:
        order: as the supervisor gives it.

    Returns:
        False also if the runtime cannot be asked: a whole run then reports why.
    """
    expected = Expected.read(Order.parse(order).expected)
    inventory = expected and take_inventory(expected.socket, timeout=expected.timeout)
    if not expected or not inventory:
        return False
    are_pinned = all((record := inventory.named(name)) and record.pinned for name in expected.pinned)
    return are_pinned and all(inventory.named(name) for name in expected.names)


def take_inventory(socket: str, *, timeout: float) -> Inventory | None:
    """List the images on the node; None: the runtime cannot be asked.

    Args:
        socket: of the container runtime; empty: search.
        timeout: seconds for the answer.
    """
    connect = connect_to(socket or None, wait=0, environment=read_environment().variables)

    async def ask() -> Inventory:
        async with trio.open_nursery() as nursery:
            runtime = await connect(nursery)
            with answered_within(timeout):
                inventory = Inventory(await runtime.service.list_images())
            nursery.cancel_scope.cancel()
        return inventory

    inventory = None
    try:
        inventory = trio.run(ask)
    except* (RuntimeFaultError, RuntimeUnavailableError):
        pass
    return inventory
