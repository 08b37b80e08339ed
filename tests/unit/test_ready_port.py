"""Which addresses `--ready-address` takes."""

import socket
from contextlib import closing

import pytest

from nodeprefetch.cli.ready_port import bind_ready_port
from nodeprefetch.errors import UsageError
from tests.support.ports import free_port


def connects(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
        return not connection.connect_ex((address, port))


@pytest.mark.parametrize(
    ("host", "reached", "not_reached"),
    [
        ("", ["127.0.0.1", "127.8.7.6", "::1"], []),
        ("127.8.7.6", ["127.8.7.6"], ["127.0.0.1", "::1"]),
        ("[::1]", ["::1"], ["127.0.0.1"]),
    ],
)
def test_it_is_reached_at_that_address_once_it_listens(host: str, reached: list[str], not_reached: list[str]) -> None:
    port = free_port()
    with closing(bind_ready_port(f"{host}:{port}")) as bound:
        before = [connects(address, port) for address in reached]
        bound.listen()

        assert not any(before)
        assert all(connects(address, port) for address in reached)
        assert not any(connects(address, port) for address in not_reached)


def test_one_that_is_in_use_is_refused_though_nobody_listens_there() -> None:
    """Otherwise the probe of one installation would ask another one in the node's network."""
    address = f"127.8.7.6:{free_port()}"
    with (
        closing(bind_ready_port(address)),
        pytest.raises(UsageError, match=f"cannot listen on {address}: Address already in use"),
    ):
        bind_ready_port(address)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("8080", "expected HOST:PORT or :PORT"),
        (":", "expected HOST:PORT or :PORT"),
        (":0", "expected HOST:PORT or :PORT"),
        (":65536", "expected HOST:PORT or :PORT"),
        (":http", "expected HOST:PORT or :PORT"),
        ("localhost:80", "the host must be an IP address"),
        ("::1:80", "the host must be an IP address"),
        ("[]:80", "the host must be an IP address"),
        ("a\0b:80", "the host must be an IP address"),
        ("198.51.100.1:80", "Cannot assign requested address"),
    ],
)
def test_others_are_refused(address: str, problem: str) -> None:
    with pytest.raises(UsageError, match="--ready-address: ") as raised:
        bind_ready_port(address)

    assert problem in str(raised.value)
