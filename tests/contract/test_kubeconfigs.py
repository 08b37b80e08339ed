"""Which kubeconfig and which context are used: as `kubectl` does it. Real HTTPS, against a fake API server."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from nodeprefetch.kube import KubeConfigError, NotInClusterError
from nodeprefetch.kube.kubeconfig import find_kubeconfig, read_kubeconfig
from nodeprefetch.kube.plain_kubeconfig import read_plain_kubeconfig
from nodeprefetch.kube.reads import connect_reads
from tests.support.fake_kube import FakeKube


def write(path: Path, **parts: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **parts}))
    return str(path)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def named(what: str, name: str, **body: Any) -> list[dict[str, Any]]:
    return [{"name": name, what: body}]


def test_a_file_that_is_given_is_used_whatever_there_is(tmp_path):
    write(tmp_path / ".kube" / "config")

    assert ("given",) == find_kubeconfig("given", {"HOME": str(tmp_path), "KUBECONFIG": "other"})


def test_the_variable_names_files_of_which_some_may_be_missing(tmp_path):
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    write(tmp_path / ".kube" / "config")
    environment = {"HOME": str(tmp_path), "KUBECONFIG": f"{first}:{tmp_path}/none::{second}:{first}"}

    assert (first, second) == find_kubeconfig(None, environment)


def test_a_variable_whose_files_are_all_missing_is_an_error_not_another_file(tmp_path):
    write(tmp_path / ".kube" / "config")

    assert ("/none",) == find_kubeconfig(None, {"HOME": str(tmp_path), "KUBECONFIG": "/none"})
    with pytest.raises(KubeConfigError, match="cannot read the kubeconfig /none: No such file"):
        read_kubeconfig(("/none",), None)


def test_otherwise_the_file_in_the_home_directory_is_used(tmp_path):
    assert () == find_kubeconfig(None, {"HOME": str(tmp_path)})

    path = write(tmp_path / ".kube" / "config")

    assert (path,) == find_kubeconfig(None, {"HOME": str(tmp_path)})


def test_files_are_merged_and_the_first_one_that_says_something_wins(tmp_path):
    first = write(
        tmp_path / "a",
        contexts=named("context", "one", cluster="one", user="me", namespace="first"),
        users=named("user", "me", token="token-1"),
        **{"current-context": "one"},
    )
    second = write(
        tmp_path / "b",
        contexts=[
            *named("context", "one", cluster="two", user="me", namespace="second"),
            *named("context", "two", cluster="two", user="me"),
        ],
        clusters=[
            *named("cluster", "one", server="http://127.0.0.1:1"),
            *named("cluster", "two", server="http://127.0.0.1:2"),
        ],
        users=named("user", "me", token="token-2"),
        **{"current-context": "two"},
    )

    current, other = read_kubeconfig((first, second), None), read_kubeconfig((first, second), "two")

    assert ("http://127.0.0.1:1", "first") == (current.server.url, current.namespace)
    assert ("http://127.0.0.1:2", "default") == (other.server.url, other.namespace)


async def test_the_login_is_that_of_the_first_file(tmp_path):
    first = write(tmp_path / "a", users=named("user", "me", token="token-1"))
    second = write(
        tmp_path / "b",
        contexts=named("context", "c", cluster="c", user="me"),
        clusters=named("cluster", "c", server="http://127.0.0.1:1"),
        users=named("user", "me", token="token-2"),
        **{"current-context": "c"},
    )

    assert "Bearer token-1" == await read_kubeconfig((first, second), None).server.authorization()


def test_a_context_that_does_not_exist_is_named(tmp_path):
    path = write(tmp_path / "a", contexts=[], clusters=[], users=[])

    with pytest.raises(KubeConfigError, match="nowhere"):
        read_kubeconfig((path,), "nowhere")


async def test_a_context_without_any_kubeconfig_is_an_error(tmp_path):
    with pytest.raises(KubeConfigError, match="no kubeconfig found"):
        await connect_reads(context="c", environment={"HOME": str(tmp_path)})


async def test_without_a_kubeconfig_the_service_account_is_used(tmp_path):
    with FakeKube() as api:
        mount = api.write_service_account(tmp_path / "mount")
        kube = await connect_reads(environment={**api.environment, "HOME": str(tmp_path)}, mount=mount)
        try:
            assert "prefetch" == kube.namespace
            assert [] == await kube.daemon_sets(None, {})
        finally:
            await kube.aclose()


async def test_outside_of_a_cluster_and_without_a_kubeconfig_there_is_no_access(tmp_path):
    with pytest.raises(NotInClusterError):
        await connect_reads(environment={"HOME": str(tmp_path)}, mount=tmp_path)


async def test_a_login_program_is_run(tmp_path):
    """As clouds have it: `aws eks get-token`, `gke-gcloud-auth-plugin`."""
    program = tmp_path / "login"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "service-account-token"},
    }
    program.write_text(f"#!/bin/sh\ntest \"$REGION\" = eu && echo '{json.dumps(credential)}'\n")
    program.chmod(0o755)
    login = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(program),
        "env": [{"name": "REGION", "value": "eu"}],
        "interactiveMode": "Never",
    }
    with FakeKube() as api:
        path = api.write_kubeconfig(tmp_path, user={"exec": login})
        kube = await connect_reads(str(path), environment={})
        try:
            assert [] == await kube.daemon_sets(None, {})
        finally:
            await kube.aclose()

    assert ["service-account-token"] == [request.token for request in api.requests]


@pytest.mark.parametrize("is_data", [False, True])
async def test_authorities_and_certificates_may_be_files_or_data(tmp_path, is_data):
    with FakeKube() as api:
        api.tokens.append("admin")
        login = api.write_certificate(tmp_path, "admin")
        api.write_kubeconfig(tmp_path)
        cluster: dict[str, Any] = {}
        if is_data:
            cluster["certificate-authority-data"] = encoded(tmp_path / "authority.pem")
            login = {f"{name}-data": encoded(tmp_path / file) for name, file in login.items()}
        path = api.write_kubeconfig(tmp_path, user=login, cluster=cluster)
        if is_data:
            for each in ("client.pem", "client.key", "authority.pem"):
                (tmp_path / each).unlink()
        assert read_plain_kubeconfig([str(path)], None) is not None
        kube = await connect_reads(str(path), environment={})
        try:
            assert [] == await kube.daemon_sets(None, {})
        finally:
            await kube.aclose()

    assert ["admin"] == [request.token for request in api.requests]


async def test_a_token_in_a_file_is_read_for_each_call_beside_its_kubeconfig(tmp_path):
    path = write(
        tmp_path / "config",
        contexts=named("context", "c", cluster="c", user="me"),
        clusters=named("cluster", "c", server="http://127.0.0.1:1"),
        users=named("user", "me", tokenFile="token"),
        **{"current-context": "c"},
    )
    (tmp_path / "token").write_text("first")
    login = read_plain_kubeconfig([path], None)
    assert login is not None
    assert "Bearer first" == await login.server.authorization()
    (tmp_path / "token").write_text("second")

    assert "Bearer second" == await login.server.authorization()


@pytest.mark.parametrize(
    "user",
    [
        {"exec": {}},
        {"auth-provider": {"name": "oidc"}},
        {"username": "me", "password": "pw"},
        {"as": "other"},
        {"client-certificate": "missing.pem"},
    ],
)
def test_logins_that_are_not_plain_are_left_to_the_other_reader(tmp_path, user):
    path = write(
        tmp_path / "config",
        contexts=named("context", "c", cluster="c", user="me"),
        clusters=named("cluster", "c", server="https://127.0.0.1:1"),
        users=named("user", "me", **user),
        **{"current-context": "c"},
    )

    assert None is read_plain_kubeconfig([path], None)
