"""What the older protocol's answers mean for a batch."""

from contextlib import asynccontextmanager

import pytest

from nodeprefetch.batch import Batch
from nodeprefetch.errors import ConnectionLostError, NotConnectedError, ProtocolViolationError
from nodeprefetch.events import AttemptFinished, Notice
from nodeprefetch.rpc import GRPCError, Status
from nodeprefetch.rpc.metrics import Empty
from nodeprefetch.submit.grpc import GrpcTransport
from nodeprefetch.submit.retry import Accepted, Rejected, Unavailable, Undeliverable, UnsupportedProtocol
from nodeprefetch.text.token_file import TokenFile

ATTEMPT = AttemptFinished(attempt_id="a", image="a", attempt=1, started_at=1, duration=-1, limit=30)


class Channel:
    """Every call fails in its way, or succeeds; keeps the metadata of each."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.metadata = []

    @asynccontextmanager
    async def request(self, name, cardinality, request_type, reply_type, *, metadata=None):
        assert "/Metrics/Submit" == name
        self.metadata.append(metadata)
        yield self

    def send_from(self, messages):
        for message in messages:
            message.SerializeToString()

    async def recv_reply(self):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return Empty()


def batch(*events):
    return Batch(run_id="r", node="n", version="1", events=events)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (GRPCError(Status.UNIMPLEMENTED, "no such"), UnsupportedProtocol("gRPC status UNIMPLEMENTED: no such")),
        (GRPCError(Status.PERMISSION_DENIED), Rejected("gRPC status PERMISSION_DENIED")),
        (GRPCError(Status.UNAUTHENTICATED), Rejected("gRPC status UNAUTHENTICATED")),
        (GRPCError(Status.RESOURCE_EXHAUSTED, "busy"), Unavailable("gRPC status RESOURCE_EXHAUSTED: busy")),
        (GRPCError(Status.UNAVAILABLE, "a\nb"), Unavailable("gRPC status UNAVAILABLE: a | b")),
        (NotConnectedError("nobody"), Unavailable("nobody")),
        (ConnectionLostError("gone"), Unavailable("gone")),
        (ProtocolViolationError("what"), UnsupportedProtocol("what")),
    ],
)
async def test_an_error_has_a_meaning(error, answer):
    assert answer == await GrpcTransport(Channel(error)).deliver(batch(ATTEMPT))


async def test_a_text_that_cannot_be_written_makes_a_batch_undeliverable():
    delivery = GrpcTransport(Channel())

    assert isinstance(
        await delivery.deliver(Batch(run_id="r", node="\udc80", version="1", events=(ATTEMPT,))), Undeliverable
    )


async def test_a_batch_without_results_is_sent_only_while_nobody_has_answered():
    channel = Channel(NotConnectedError("nobody"))
    delivery = GrpcTransport(channel)

    answers = [await delivery.deliver(batch(Notice(message="x"))) for _ in range(4)]

    assert [Unavailable("nobody"), Accepted(), Accepted(), Accepted()] == answers
    assert 2 == len(channel.metadata)


async def test_a_token_goes_along_and_is_read_again_when_it_was_refused(tmp_path):
    file = tmp_path / "token"
    file.write_text("first1")
    token = TokenFile(str(file))
    channel = Channel(GRPCError(Status.UNAUTHENTICATED, "not first1"))
    delivery = GrpcTransport(channel, token)

    answer = await delivery.deliver(batch(ATTEMPT))
    file.write_text("second")
    await delivery.deliver(batch(ATTEMPT))

    assert Rejected("gRPC status UNAUTHENTICATED: not ***") == answer
    assert ["Bearer first1", "Bearer second"] == [each["authorization"] for each in channel.metadata]


async def test_a_token_whose_file_is_gone_is_used_on(tmp_path):
    file = tmp_path / "token"
    file.write_text("first")
    token = TokenFile(str(file))
    file.write_text("")
    assert "first" == token.token()
    file.unlink()
    assert "first" == token.token()
