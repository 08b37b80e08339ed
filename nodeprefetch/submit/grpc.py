"""Sends results over image-prefetcher's protocol: gRPC `Metrics/Submit`, attempts only, plain-text HTTP/2."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from nodeprefetch.batch import Batch
from nodeprefetch.errors import ProtocolViolationError, RpcError
from nodeprefetch.events import AttemptFinished, ImageFinished, Outcome
from nodeprefetch.rpc import Channel, GRPCError, Status, open_channel
from nodeprefetch.rpc.metrics import MetricsStub, Result
from nodeprefetch.submit.endpoint import Endpoint, short
from nodeprefetch.submit.retry import (
    Accepted,
    DeliveryResult,
    Rejected,
    Unavailable,
    Undeliverable,
    UnsupportedProtocol,
)
from nodeprefetch.text.token_file import TokenFile

_REJECTING = {Status.UNAUTHENTICATED, Status.PERMISSION_DENIED, Status.INVALID_ARGUMENT, Status.FAILED_PRECONDITION}


class GrpcTransport:
    """Sends the results of each batch in one Submit call. Created by `open_grpc`.

    Args:
        channel: connection to the aggregator.
        token: sent as bearer token, which image-prefetcher's aggregator ignores.
    """

    def __init__(self, channel: Channel, token: TokenFile | None = None) -> None:
        self._stub = MetricsStub(channel)
        self._token = token
        self._is_proven = False

    async def deliver(self, batch: Batch) -> DeliveryResult:
        """Submit the results of a batch. The reply acknowledges them all.

        A batch without results is sent only as the first one, to find out whether the aggregator responds.
        """
        results = to_results(batch)
        if self._is_proven and not results:
            return Accepted()
        token = self._token.token() if self._token else ""
        try:
            await self._stub.submit(results, metadata={"authorization": f"Bearer {token}"} if token else None)
        except GRPCError as error:
            return self._result_of(error, token)
        except ProtocolViolationError as error:
            return UnsupportedProtocol(short(str(error), token))
        except UnicodeEncodeError:
            return Undeliverable("contains invalid Unicode")
        except RpcError as error:
            return Unavailable(short(str(error), token))
        self._is_proven = True
        return Accepted()

    def _result_of(self, error: GRPCError, token: str) -> DeliveryResult:
        text = short(f"gRPC status {error.status.name}" + (f": {error.message}" if error.message else ""), token)
        if error.status is Status.UNIMPLEMENTED:
            return UnsupportedProtocol(text)
        return Rejected(text) if error.status in _REJECTING else Unavailable(text)


def to_results(batch: Batch) -> list[Result]:
    """Convert a batch to image-prefetcher's results, one per attempt. The move of a tag is part of its attempt.

    An image that failed without any attempt also gets a result, or it would not be reported at all. The ID of that
    result is derived from run and image, so that it is the same each time it is sent.
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
                        digest=event.digest,
                        moved_from=event.moved_from,
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
async def open_grpc(endpoint: Endpoint, *, token: TokenFile | None) -> AsyncGenerator[GrpcTransport]:
    """Open a transport over one connection, which is made when needed, kept, and closed at the end of the block."""
    async with open_channel(endpoint.authority) as channel:
        yield GrpcTransport(channel, token)
