import socket

import pytest

from nodeprefetch.errors import NotConnectedError, UsageError
from nodeprefetch.rpc.address import TcpTarget, UnixTarget, parse_address


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/run/a.sock", "/run/a.sock"),
        ("unix:///run/a.sock", "/run/a.sock"),
        ("unix:/run/a.sock", "/run/a.sock"),
        ("unix:a.sock", "a.sock"),
        ("unix:////run/a.sock", "/run/a.sock"),
    ],
)
def test_a_socket_has_these_forms(address, path):
    assert UnixTarget(path=path) == parse_address(address)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("localhost:50051", "localhost", 50051),
        ("http://127.0.0.1:1", "127.0.0.1", 1),
        ("http://127.0.0.1:1/", "127.0.0.1", 1),
        ("[::1]:8080", "::1", 8080),
    ],
)
def test_a_port_has_these_forms(address, host, port):
    assert TcpTarget(host=host, port=port) == parse_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "localhost:",
        "host:99999",
        "https://a:1",
        "http://a:1/path",
        "unix:",
        "unix:///",
        "/a\x00b",
        "http://user@a:1",
        "http://[::1",
        "unix://" + "/a" * 60,
    ],
)
def test_anything_else_is_refused_by_name(address):
    with pytest.raises(UsageError) as caught:
        parse_address(address)

    assert repr(address) in str(caught.value)


def test_targets_are_named_as_a_person_would_write_them():
    assert ["unix:///run/a.sock", "http://a:1", "http://[::1]:1"] == [
        str(UnixTarget(path="/run/a.sock")),
        str(TcpTarget(host="a", port=1)),
        str(TcpTarget(host="::1", port=1)),
    ]


def test_the_authority_is_a_valid_host():
    assert ["localhost", "a:1"] == [UnixTarget(path="/x").authority, TcpTarget(host="a", port=1).authority]


async def test_a_socket_that_is_not_there_is_not_connected(tmp_path):
    with pytest.raises(NotConnectedError, match=r"nowhere\.sock: No such file") as caught:
        await UnixTarget(path=str(tmp_path / "nowhere.sock")).connect()

    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_a_port_without_listener_is_not_connected():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        with pytest.raises(NotConnectedError) as caught:
            await TcpTarget(host="127.0.0.1", port=bound.getsockname()[1]).connect()

    assert isinstance(caught.value.__cause__, OSError)
