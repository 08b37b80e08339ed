"""Makes requests for tickets as nodes send them."""

from nodeprefetch.tickets.messages import TicketRequest, TicketState


def waiting(
    node: str, *, run: str = "1", zone: str = "", gated: bool = False, wait: float = 20, instance: str = "web"
) -> TicketRequest:
    """It wants a ticket."""
    return TicketRequest(
        node=node, run_id=run, state=TicketState.WAITING, instance=instance, zone=zone, is_gated=gated, wait=wait
    )


def pulling(node: str, run: str = "1") -> TicketRequest:
    """It pulls."""
    return TicketRequest(node=node, run_id=run, state=TicketState.PULLING, instance="web")


def done(node: str, *, run: str = "1", zone: str = "", warm: bool = True) -> TicketRequest:
    """It does not pull any more."""
    return TicketRequest(node=node, run_id=run, state=TicketState.DONE, instance="web", zone=zone, is_warm=warm)
