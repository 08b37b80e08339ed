"""Tokens and TLS over real sockets."""

import http.client
import json
import ssl
from dataclasses import dataclass

import grpc
import msgspec
import pytest
import trustme

from nodeprefetch.aggregator.settings import AuthMode
from nodeprefetch.errors import UsageError
from nodeprefetch.rpc.metrics import Result
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of

MSGPACK = {"content-type": "application/msgpack"}
BODY = msgspec.msgpack.encode(batch_of(attempt()))


@pytest.fixture(scope="module")
def token_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text("secret")
    return path


def submitted(running, token, body=BODY):
    headers = MSGPACK | ({"authorization": f"Bearer {token}"} if token else {})
    return running.ask("POST", "/v1/events", body, headers)


def called(running, token, node="pod-1"):
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        call = channel.stream_unary("/Metrics/Submit", request_serializer=None, response_deserializer=None)
        try:
            call(iter([bytes(Result(attempt_id="x", image="a:1", node=node))]), timeout=300, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_submission_needs_the_token_and_reading_does_not(token_file):
    with running_aggregator(on_any_port(auth=AuthMode.TOKEN_FILE, auth_token_file=token_file)) as running:
        without = submitted(running, "")

        assert (401, "Bearer", "unauthorized") == (
            without.status,
            without.headers["www-authenticate"],
            json.loads(without.body)["reason"],
        )
        assert [401, 200] == [submitted(running, token).status for token in ("wrong", "secret")]
        assert [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.OK] == [
            called(running, token) for token in ("", "secret")
        ]
        assert 200 == running.ask("GET", "/metrics").status


@pytest.mark.parametrize("path", ["/metrics", "/v1/status", "/v1/events", "/v1/attempts?node=n"])
def test_reading_may_need_the_token_too(token_file, path):
    settings = on_any_port(auth=AuthMode.TOKEN_FILE, auth_token_file=token_file, auth_read=True)
    with running_aggregator(settings) as running:
        assert 401 == running.ask("GET", path).status
        assert 200 == running.ask("HEAD", path, headers={"authorization": "Bearer secret"}).status
        assert [200, 200] == [running.ask("GET", health).status for health in ("/healthz", "/readyz")]


@dataclass
class Review:
    authenticated: bool
    username: str
    node_name: str


class OneNode:
    """An API server that knows one token, of one node."""

    async def review_token(self, token, audience):
        return Review(
            authenticated=(token, audience) == ("of.node.1", "nodeprefetch"),
            username="system:serviceaccount:prefetch:fetcher",
            node_name="node-1",
        )


def test_a_token_of_a_node_reports_for_that_node_alone():
    settings = on_any_port(auth=AuthMode.KUBERNETES, auth_service_account="prefetch:fetcher")
    with running_aggregator(settings, OneNode()) as running:
        other = msgspec.msgpack.encode(batch_of(attempt(), node="node-2"))

        assert [200, 403, 401] == [
            submitted(running, "of.node.1").status,
            submitted(running, "of.node.1", other).status,
            submitted(running, "un.kno.wn").status,
        ]
        assert [grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED] == [
            called(running, "of.node.1", node) for node in ("node-1", "node-2")
        ]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    return {"tls_cert_file": directory / "cert.pem", "tls_key_file": directory / "key.pem"}


def test_both_ports_and_both_protocols_speak_tls(authority, certificate):
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with running_aggregator(on_any_port(**certificate)) as running:
        for port in (running.http_port, running.grpc_port):
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=300, context=trusting)
            connection.request("POST", "/v1/events", msgspec.msgpack.encode(batch_of(attempt())), MSGPACK)
            assert b'{"accepted":1,"duplicates":0}' == connection.getresponse().read()
            connection.close()
            with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
                call = channel.stream_unary("/Metrics/Submit", request_serializer=None, response_deserializer=None)
                assert b"" == call(iter([bytes(Result(attempt_id="x", image="a:1"))]), timeout=300)


def test_who_speaks_no_tls_is_hung_up_on(certificate):
    with (
        running_aggregator(on_any_port(**certificate)) as running,
        pytest.raises((OSError, http.client.HTTPException)),
    ):
        running.ask("GET", "/healthz")


def test_a_port_that_is_taken_is_wrong_usage():
    with (
        running_aggregator(on_any_port()) as running,
        pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {running.http_port}: Address already in use"),
        running_aggregator(on_any_port(http_port=running.http_port)),
    ):
        pass
