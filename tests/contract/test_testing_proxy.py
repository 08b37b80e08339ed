"""The fault proxy, between HTTP clients and a fake registry."""

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.support.proxy import FaultProxy, Passage

IMAGE = make_image((100_000,), seed="proxy")
PATH = f"/v2/app/blobs/{IMAGE.layers[0].digest}"
BODY = IMAGE.layers[0].data


@pytest.fixture
def target(fake_registry: FakeRegistry) -> tuple[str, int]:
    fake_registry.add("app:1", IMAGE)
    host, _, port = fake_registry.address.partition(":")
    return host, int(port)


@pytest.fixture
def proxy(target: tuple[str, int]) -> Iterator[FaultProxy]:
    with FaultProxy(target) as running:
        yield running


def fetch(proxy: FaultProxy, *, patience: float = 20) -> bytes:
    connection = http.client.HTTPConnection(proxy.address, timeout=patience)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_everything_is_passed_on(proxy: FaultProxy) -> None:
    assert BODY == fetch(proxy)


def test_connections_and_bytes_are_counted(proxy: FaultProxy) -> None:
    fetch(proxy)
    fetch(proxy)
    proxy.wait_until(lambda connections: all(connection.ended for connection in connections))

    assert 2 == len(proxy.connections)
    for connection in proxy.connections:
        assert len(PATH) < connection.bytes_up < 500
        assert len(BODY) < connection.bytes_down < len(BODY) + 500
        assert connection.started <= (connection.ended or 0)


def test_the_first_connections_go_wrong_as_scripted(target: tuple[str, int]) -> None:
    script = [Passage.reset(), Passage.free(), Passage.reset_after(1000)]
    with FaultProxy(target, script, then=Passage.free()) as proxy:
        with pytest.raises(ConnectionResetError):
            fetch(proxy)
        assert BODY == fetch(proxy)
        with pytest.raises(ConnectionResetError):
            fetch(proxy)
        assert BODY == fetch(proxy)

    assert [0, 1000] == [proxy.connections[number].bytes_down for number in (0, 2)]


@pytest.mark.parametrize("passage", [Passage.stall(), Passage.stall_after(1000)])
def test_a_stalled_connection_stays_open_until_the_client_leaves(
    proxy: FaultProxy, fake_registry: FakeRegistry, passage: Passage
) -> None:
    proxy.script(passage)

    with pytest.raises(TimeoutError):
        fetch(proxy, patience=0.1)

    proxy.wait_until(lambda connections: connections[0].ended is not None)
    assert passage.after == proxy.connections[0].bytes_down
    assert bool(passage.after) == bool(len(fake_registry.requests))


def test_what_stalls_is_seen_by_its_bytes(proxy: FaultProxy) -> None:
    proxy.script(then=Passage.stall_after(1000))
    with socket.create_connection(proxy.address.split(":"), timeout=300) as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        received = b""
        while len(received) < 1000:
            received += client.recv(5000)

        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.sendall(b"more, which goes nowhere")


def test_a_drip_comes_at_its_rate(proxy: FaultProxy) -> None:
    proxy.script(Passage.drip(1_000_000))  # 100 kB: 0.1 s

    started = time.monotonic()

    assert BODY == fetch(proxy)
    assert 0.08 <= time.monotonic() - started


def test_connections_are_refused_and_accepted_again_on_the_same_port(proxy: FaultProxy) -> None:
    address = proxy.address
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        fetch(proxy)

    proxy.accept()
    proxy.accept()

    assert address == proxy.address
    assert BODY == fetch(proxy)


def test_a_cut_ends_open_connections_in_order(proxy: FaultProxy) -> None:
    proxy.script(Passage.stall())
    with socket.create_connection(proxy.address.split(":"), timeout=300) as client:
        proxy.wait_until(lambda connections: len(connections) == 1)

        proxy.cut()

        assert b"" == client.recv(1)


def test_a_target_that_is_not_there_ends_the_connection(proxy: FaultProxy, fake_registry: FakeRegistry) -> None:
    fake_registry.stop()

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        fetch(proxy)


def test_a_client_may_close_its_half_and_still_read(proxy: FaultProxy) -> None:
    with socket.create_connection(proxy.address.split(":"), timeout=300) as client:
        client.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
        client.shutdown(socket.SHUT_WR)

        assert client.makefile("rb").read().endswith(b"{}")
