"""Decodes requests for tickets, with a limit on every string and number."""

from dataclasses import replace
from typing import cast

import msgspec

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.web.decode import bounded, check_names
from nodeprefetch.tickets.messages import TicketRequest

_LARGEST = 16 << 10
"""Bytes of a body."""

_LONGEST_NAME = 253
"""Bytes. Kubernetes' limit for names of nodes; tens of thousands of them are kept in memory."""

_NAMES = ("node", "run_id", "instance", "list_digest", "zone")


class TicketDecoder:
    """Decodes requests for tickets.

    Args:
        bounds: the limits.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = replace(bounds, body=_LARGEST, decompressed=_LARGEST, name=min(bounds.name, _LONGEST_NAME))
        """The limits of a request."""

        self._decoder = msgspec.json.Decoder(bounded(TicketRequest, self.bounds))

    def decode(self, body: bytes | bytearray) -> TicketRequest:
        """Decode a request.

        Raises:
            RefusedError: it is not a request, or exceeds a limit.
        """
        try:
            request = cast("TicketRequest", self._decoder.decode(body))
        except msgspec.ValidationError as error:
            raise RefusedError(400, "invalid_request", f"invalid request: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RefusedError(400, "malformed", f"cannot decode body: {error}") from error
        check_names(request, _NAMES, self.bounds)
        return request
