import pytest

from tests.support import cluster as cluster_module
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster
from tests.support.cluster_programs import (
    api_server_program,
    programs_directory,
    why_no_api_server,
    why_no_cluster,
)
from tests.support.spawn import DaemonError


def test_programs_are_looked_for_where_the_build_puts_them(monkeypatch, tmp_path):
    monkeypatch.setenv("NODEPREFETCH_CACHE", str(tmp_path))

    assert tmp_path / "programs" == programs_directory()
    assert tmp_path / "programs" / "kube-apiserver-1.30" == api_server_program("1.30")

    monkeypatch.delenv("NODEPREFETCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path / "nodeprefetch" / "programs" == programs_directory()


def test_what_is_missing_is_named_with_the_command_that_makes_it(monkeypatch, tmp_path):
    monkeypatch.setenv("NODEPREFETCH_CACHE", str(tmp_path))

    for reason, program in (
        (why_no_api_server("1.30"), "kube-apiserver-1.30, kubectl"),
        (why_no_cluster("2"), "containerd-shim-runc-v2"),
        (why_no_cluster("debian"), "kubelet"),
    ):
        assert reason is not None
        assert program in reason
        assert "(run dev/cluster build)" in reason


def test_an_api_server_that_is_not_built_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("NODEPREFETCH_CACHE", str(tmp_path))

    with pytest.raises(DaemonError, match="dev/cluster build"):
        ApiServer(tmp_path)


def test_a_cluster_is_brought_up_from_a_checkout_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_module, "SCRIPT", tmp_path / "cluster")

    with pytest.raises(DaemonError, match="clusters need a checkout"), Cluster(tmp_path):
        pass


def test_a_cluster_that_does_not_come_up_says_why(monkeypatch, tmp_path):
    """Nothing is left of it: what takes it down has ended too."""
    monkeypatch.setenv("NODEPREFETCH_CACHE", str(tmp_path))
    cluster = Cluster(tmp_path / "work")

    with pytest.raises(DaemonError, match=r"missing kube-apiserver|must run as root"), cluster:
        pass
