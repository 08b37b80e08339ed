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

_NAMES = ("node", "run_id", "instance", "list_digest", "zone")


class TicketDecoder:
    """Decodes requests for tickets.

    Args:
        bounds: the limits.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._decoder = msgspec.json.Decoder(bounded(TicketRequest, bounds))
        self.body_bounds = replace(bounds, body=_LARGEST, decompressed=_LARGEST)
        """The limits of a body."""

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
        check_names(request, _NAMES, self._bounds)
        return request
