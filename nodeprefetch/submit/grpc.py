"""The older tool's way to its aggregator: gRPC `Metrics/Submit`, attempts alone, over plain-text HTTP/2."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from nodeprefetch.errors import ProtocolViolationError, RpcError
from nodeprefetch.events import AttemptFinished, Batch, ImageFinished, Outcome
from nodeprefetch.rpc import Channel, GRPCError, Status, open_channel
from nodeprefetch.rpc.metrics import MetricsStub, Result
from nodeprefetch.submit.endpoint import Endpoint, short
from nodeprefetch.submit.retry import Accepted, Answer, Foreign, Refused, Unavailable, Unfit
from nodeprefetch.text.token_file import TokenFile

_REFUSING = {Status.UNAUTHENTICATED, Status.PERMISSION_DENIED, Status.INVALID_ARGUMENT, Status.FAILED_PRECONDITION}


class GrpcDelivery:
    """Takes the results of batches, one Submit for each. Made by `open_grpc`.

    Args:
        channel: the way there.
        token: goes along as bearer token; the older aggregator does not look at it.
    """

    def __init__(self, channel: Channel, token: TokenFile | None = None) -> None:
        self._stub = MetricsStub(channel)
        self._token = token
        self._is_proven = False

    async def deliver(self, batch: Batch) -> Answer:
        """Submit its results. The reply acknowledges them all.

        A batch without results is not sent, except as the first: whether somebody is there must be known.
        """
        results = to_results(batch)
        if self._is_proven and not results:
            return Accepted()
        token = self._token.token() if self._token else ""
        try:
            await self._stub.submit(results, metadata={"authorization": f"Bearer {token}"} if token else None)
        except GRPCError as error:
            return self._answer_to(error, token)
        except ProtocolViolationError as error:
            return Foreign(short(str(error), token))
        except UnicodeEncodeError:
            return Unfit("it is not valid text")
        except RpcError as error:
            return Unavailable(short(str(error), token))
        self._is_proven = True
        return Accepted()

    def _answer_to(self, error: GRPCError, token: str) -> Answer:
        said = short(f"gRPC status {error.status.name}" + (f": {error.message}" if error.message else ""), token)
        if error.status is Status.UNIMPLEMENTED:
            return Foreign(said)
        return Refused(said) if error.status in _REFUSING else Unavailable(said)


def to_results(batch: Batch) -> list[Result]:
    """The batch as the older tool's results: one an attempt.

    An image that failed without any attempt gets a result too, or nobody would learn of it there; its ID is made
    of run and image, the same each time it is sent.
    """
    results = []
    for event in batch.events:
        match event:
            case AttemptFinished():
                results.append(
                    Result(
                        attempt_id=event.attempt_id,
                        started_at=int(event.started_at),
                        image=event.image,
                        error=event.error,
                        duration_ms=max(0, round(event.duration * 1000)),
                        node=batch.node,
                        size_bytes=event.size,
                    )
                )
            case ImageFinished(outcome=Outcome.FAILED, attempts=0):
                results.append(
                    Result(
                        attempt_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{batch.run_id}/{event.image}")),
                        started_at=int(event.at),
                        image=event.image,
                        error=event.error or "failed before any attempt",
                        node=batch.node,
                    )
                )
            case _:
                pass
    return results


@asynccontextmanager
async def open_grpc(endpoint: Endpoint, *, token: TokenFile | None) -> AsyncGenerator[GrpcDelivery]:
    """A delivery over one connection that is opened when needed, kept, and closed at the block's end."""
    async with open_channel(endpoint.authority) as channel:
        yield GrpcDelivery(channel, token)
