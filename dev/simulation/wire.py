"""The network of a simulation on Trio's clock: downloads can be awaited."""

import math

import trio

from simulation.network import Host, Network

STEPS = 100
"""Steps in the time of one image, at a node's full rate. Ends of downloads are seen at the next step."""


class Wire:
    """Downloads images.

    Args:
        network: decides when they are there.
        step: seconds. Many downloads end in one step, which costs less than one wake-up for each of them.
    """

    def __init__(self, network: Network, step: float) -> None:
        self.network = network
        self._step = step
        self._sleep = trio.CancelScope()

    async def fetch(self, host: Host, image: int) -> str:
        """Download an image. Returns the error, or an empty text."""
        over = trio.Event()
        download = self.network.download(host, image, over.set, trio.current_time())
        self.look()
        try:
            await over.wait()
        except trio.Cancelled:
            self.network.cancel(host, download, trio.current_time())
            raise
        return download.error

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        while True:
            with trio.CancelScope() as self._sleep:
                self.look()
                await trio.sleep_forever()
            self.network.advance(trio.current_time())

    def look(self) -> None:
        """Be there when the next transfer ends."""
        ends = self.network.next_end()
        self._sleep.deadline = max(ends, math.ceil(ends / self._step) * self._step) if ends < math.inf else math.inf
