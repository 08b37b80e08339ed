"""How the client finds the API server and logs in, over real HTTPS, against a fake API server."""

import base64
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from nodeprefetch.kube import Kube, KubeConfigError, KubeError, NotInClusterError, UnreachableError, connect
from tests.support.fake_kube import FakeKube

TOKEN = "service-account-token"


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1")
        yield running


async def connect_in_pod(api: FakeKube, mount: Path, **more: str) -> Kube:
    api.write_service_account(mount)
    return await connect(environment={**api.environment, **more}, mount=mount)


async def connect_by_kubeconfig(api: FakeKube, directory: Path, **parts: object) -> Kube:
    return await connect(str(api.write_kubeconfig(directory, **parts)), environment={})


async def test_a_kubeconfig_leads_there_too(api, tmp_path):
    kube = await connect(str(api.write_kubeconfig(tmp_path)), environment={})

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_renewed_token_is_used_from_the_next_call_on(api, tmp_path):
    """Kubelets renew tokens long before they end; here the old one is refused at once."""
    kube = await connect_in_pod(api, tmp_path)
    await kube.get_node("n1")
    api.tokens[:] = ["renewed"]
    (tmp_path / "token").write_text("renewed\n")

    await kube.get_node("n1")

    assert [TOKEN, "renewed"] == [request.token for request in api.requests]


@pytest.mark.parametrize("content", [None, "", "first\nsecond"])
async def test_a_token_file_without_a_token_for_a_moment_leaves_the_last_token(api, tmp_path, content):
    kube = await connect_in_pod(api, tmp_path)
    (tmp_path / "token").unlink()
    if content is not None:
        (tmp_path / "token").write_text(content)

    await kube.get_node("n1")

    assert [TOKEN] == [request.token for request in api.requests]


async def test_a_token_that_no_header_can_carry_is_not_quoted(api, tmp_path):
    kube = await connect_by_kubeconfig(api, tmp_path, token="first\nsecond")

    with pytest.raises(KubeError) as caught:
        await kube.get_node("n1")

    assert "reading node n1: the token contains characters that an HTTP header cannot carry" == str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_server_of_another_authority_is_not_talked_to(api, tmp_path):
    api.write_service_account(tmp_path)
    with FakeKube() as other:
        kube = await connect(environment=other.environment, mount=tmp_path)

        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await kube.get_node("n1")

        assert [] == other.requests


async def test_the_service_network_is_reached_past_the_proxy(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="127.0.0.0/8")

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_proxy_is_used_where_it_is_meant(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, HTTPS_PROXY="http://127.0.0.1:1")

    with pytest.raises(UnreachableError, match="proxy"):
        await kube.get_node("n1")


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
async def test_without_an_address_this_is_no_pod(api, tmp_path, missing):
    with pytest.raises(NotInClusterError, match="not running in a cluster"):
        await connect_in_pod(api, tmp_path, **{missing: ""})


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
async def test_without_its_files_there_is_no_service_account(api, tmp_path, missing):
    api.write_service_account(tmp_path)
    (tmp_path / missing).unlink()

    with pytest.raises(NotInClusterError, match=r"No such file.*automountServiceAccountToken"):
        await connect(environment=api.environment, mount=tmp_path)


async def test_an_empty_token_is_no_service_account(api, tmp_path):
    api.write_service_account(tmp_path, token="\n")

    with pytest.raises(NotInClusterError, match=r"token file .* is empty"):
        await connect(environment=api.environment, mount=tmp_path)


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KubeConfigError, match=r"cannot read the kubeconfig .*/none: No such file"):
        await connect(str(tmp_path / "none"))


@pytest.mark.parametrize("text", ["", "secret: [", "kind: Config", "\x00", "- 1"])
async def test_a_kubeconfig_that_is_none_is_named_and_not_quoted(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(KubeConfigError, match=r"cannot use the kubeconfig .*/config: ") as caught:
        await connect(str(path))

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_renewed_authority_is_trusted_from_the_next_connection_on(api, tmp_path):
    with FakeKube() as other:
        other.write_service_account(tmp_path)
    kube = await connect(environment=api.environment, mount=tmp_path)
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        await kube.get_node("n1")

    api.write_service_account(tmp_path)

    assert "n1" == (await kube.get_node("n1")).name


async def test_an_authority_that_is_no_certificate_is_no_service_account(api, tmp_path):
    api.write_service_account(tmp_path)
    (tmp_path / "ca.crt").write_text("not one")

    with pytest.raises(NotInClusterError, match=r"cannot use the service account in .*: .*automount"):
        await connect(environment=api.environment, mount=tmp_path)


async def test_an_ipv6_address_is_connected_to(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, KUBERNETES_SERVICE_HOST="::1", KUBERNETES_SERVICE_PORT="1")

    with pytest.raises(UnreachableError, match=r"refused|unreachable|assign"):
        await kube.get_node("n1")


def login_program(directory: Path, status: str) -> dict[str, object]:
    """A program that prints an ExecCredential with this status, in which N is the number of its run."""
    program = directory / "login"
    answer = f'{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {status}}}'
    program.write_text(
        f"#!/bin/sh\necho run >> {directory}/runs\nn=$(wc -l < {directory}/runs)\ncat <<X\n{answer}\nX\n"
    )
    program.chmod(0o755)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    }


async def test_a_login_program_is_run_once_and_its_token_used(api, tmp_path):
    api.tokens[:] = ["run-1"]
    kube = await connect_by_kubeconfig(api, tmp_path, user=login_program(tmp_path, '{"token": "run-$n"}'))

    await kube.get_node("n1")
    await kube.get_node("n1")

    assert ["run-1", "run-1"] == [request.token for request in api.requests]


async def test_a_login_program_is_run_again_when_its_token_has_expired(api, tmp_path):
    api.tokens[:] = ["run-2", "run-3"]
    status = '{"token": "run-$n", "expirationTimestamp": "2020-01-01T00:00:00Z"}'
    kube = await connect_by_kubeconfig(api, tmp_path, user=login_program(tmp_path, status))

    await kube.get_node("n1")
    await kube.get_node("n1")

    assert ["run-2", "run-3"] == [request.token for request in api.requests]


async def test_an_auth_providers_token_is_used(api, tmp_path):
    parts = [{"alg": "none"}, {"exp": 4102444800}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    token = ".".join([*encoded, "c2ln"])
    api.tokens[:] = [token]

    kube = await connect_by_kubeconfig(
        api, tmp_path, user={"auth-provider": {"name": "oidc", "config": {"id-token": token}}}
    )

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_login_that_fails_later_is_an_error_without_its_words(api, tmp_path):
    """The loader's own errors may quote anything."""
    program = tmp_path / "login"
    credential = {"credential": {"access_token": "t-1", "token_expiry": "2020-01-01T00:00:00.000000Z"}}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    program.chmod(0o755)
    config = {"cmd-path": str(program)}
    kube = await connect_by_kubeconfig(api, tmp_path, user={"auth-provider": {"name": "gcp", "config": config}})
    program.unlink()

    with pytest.raises(KubeError) as caught:
        await kube.get_node("n1")

    assert "reading node n1: the login of the kubeconfig failed: FileNotFoundError" == str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_client_certificate_logs_in(api, tmp_path):
    api.tokens[:] = ["admin"]
    kube = await connect_by_kubeconfig(api, tmp_path, user=api.write_certificate(tmp_path, "admin"))

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_password_logs_in(api, tmp_path):
    api.tokens[:] = ["Basic bWU6cHc="]
    kube = await connect_by_kubeconfig(api, tmp_path, user={"username": "me", "password": "pw"})

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_server_is_not_verified_where_the_kubeconfig_says_so(api, tmp_path):
    with FakeKube() as other:
        other.add_node("n1")
        url = f"https://127.0.0.1:{other.port}"
        unknown = await connect_by_kubeconfig(api, tmp_path / "1", cluster={"server": url})
        kube = await connect_by_kubeconfig(
            api, tmp_path / "2", cluster={"server": url, "insecure-skip-tls-verify": True}
        )

        assert "n1" == (await kube.get_node("n1")).name
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await unknown.get_node("n1")


async def test_the_path_of_a_server_is_kept(api, tmp_path):
    kube = await connect_by_kubeconfig(api, tmp_path, cluster={"server": f"https://127.0.0.1:{api.port}/k8s/c-1/"})

    with pytest.raises(KubeError, match="404"):
        await kube.get_node("n1")

    assert ["/k8s/c-1/api/v1/nodes/n1"] == [request.path for request in api.requests]


@pytest.mark.parametrize("server", ["ftp://a", "https://", "https://a:port", "a:1", "https://münster"])
async def test_an_address_of_another_kind_is_an_error_of_ours(api, tmp_path, server):
    with pytest.raises(KubeError, match=r"invalid address of the API server|cannot use the kubeconfig"):
        await connect_by_kubeconfig(api, tmp_path, cluster={"server": server})


async def proxy(heads: list[bytes], port: int, client: trio.SocketStream) -> None:
    """Passes one connection on to a port here, wherever it was to go."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await client.receive_some()
    heads.append(head)
    await client.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
    async with await trio.open_tcp_stream("127.0.0.1", port) as target, trio.open_nursery() as nursery:

        async def pass_on(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            async for data in source:
                await sink.send_all(data)
            nursery.cancel_scope.cancel()

        nursery.start_soon(pass_on, client, target)
        nursery.start_soon(pass_on, target, client)


async def test_a_proxy_is_asked_for_the_server_whose_certificate_is_checked_by_name(api, tmp_path):
    """The fake's certificate is for `localhost`; its token goes to it alone, and the proxy's password to the proxy."""
    heads: list[bytes] = []
    path = api.write_kubeconfig(tmp_path, cluster={"server": "https://[fd00::1]:6443", "tls-server-name": "localhost"})
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, partial(proxy, heads, api.port), 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        kube = await connect(str(path), environment={"HTTPS_PROXY": f"http://me:p%40ss@{address}"})

        assert "n1" == (await kube.get_node("n1")).name
        nursery.cancel_scope.cancel()

    (head,) = heads
    assert head.startswith(b"CONNECT [fd00::1]:6443 HTTP/1.1\r\n")
    assert b"Basic " + base64.b64encode(b"me:p@ss") in head
    assert TOKEN.encode() not in head


@pytest.mark.parametrize("proxy_url", ["socks5://secret@a:1", "http://secret@:1"])
async def test_a_proxy_of_another_kind_is_named_without_its_password(api, tmp_path, proxy_url):
    with pytest.raises(KubeError, match="invalid proxy in HTTPS_PROXY") as caught:
        await connect_in_pod(api, tmp_path, HTTPS_PROXY=proxy_url)

    assert "secret" not in str(caught.value)


PROGRAM = """
import sys, threading
from pathlib import Path
import trio
from nodeprefetch.kube import connect
loaded_in_main_thread = {}
class Spy:
    @staticmethod
    def find_spec(name, *_):
        if name in ("httpcore", "kubernetes", "asyncio"):
            loaded_in_main_thread[name] = threading.current_thread() is threading.main_thread()
sys.meta_path.insert(0, Spy)
async def main():
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": sys.argv[2]}
    kube = await connect(sys.argv[3] or None, environment=environment, mount=Path(sys.argv[1]))
    return (await kube.get_node("n1")).name
print(trio.run(main), sorted(loaded_in_main_thread.items()))
"""


def run_program(*arguments: object) -> str:
    return subprocess.check_output([sys.executable, "-c", PROGRAM, *map(str, arguments)], text=True)


def test_a_pod_loads_httpcore_alone_in_a_thread(api, tmp_path):
    assert "n1 [('httpcore', False)]\n" == run_program(api.write_service_account(tmp_path), api.port, "")


def test_a_kubeconfig_with_a_token_or_a_certificate_loads_nothing_else(api, tmp_path):
    """`kubernetes` takes longer to load than all other things that a command for people does."""
    assert "n1 [('httpcore', False)]\n" == run_program(tmp_path, api.port, api.write_kubeconfig(tmp_path))
    api.tokens.append("admin")
    login = api.write_certificate(tmp_path, "admin")

    said = run_program(tmp_path, api.port, api.write_kubeconfig(tmp_path, user=login))

    assert "n1 [('httpcore', False)]\n" == said


def test_another_kubeconfig_loads_kubernetes_in_a_thread(api, tmp_path):
    login = login_program(tmp_path, '{"token": "service-account-token"}')

    said = run_program(tmp_path, api.port, api.write_kubeconfig(tmp_path, user=login))

    assert "('kubernetes', False)" in said
    assert "True" not in said
