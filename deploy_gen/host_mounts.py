"""What fetch pods see of their node: the directory of the runtime's socket, the kubelet's credential programs."""

from pathlib import PurePosixPath

from deploy_gen.objects import Object, mount
from deploy_gen.platforms import CredentialPrograms

SOCKET_MOUNT = "/run/nodeprefetch/cri"

_FILES = (".json", ".yaml", ".yml")
"""A configuration with such a name is a file, any other a directory of them."""


def socket_volume(socket: str) -> Object:
    """The directory of the socket, as a runtime that is restarted makes a new socket, and a mount shows the old one.

    With type Directory the kubelet says in an event that it is not there. Without a type the runtime would make an
    empty directory on the node, at the place of another kind of cluster.
    """
    return _host_path("cri-socket-dir", str(PurePosixPath(socket).parent), "Directory")


def credential_volumes(programs: CredentialPrograms | None) -> list[Object]:
    """Of a pod."""
    return [_host_path(name, path, kind) for name, path, kind in _paths(programs)]


def credential_mounts(programs: CredentialPrograms | None) -> list[Object]:
    """Of the container, at the paths of the node: configurations name files by them."""
    return [mount(name, path) for name, path, _ in _paths(programs)]


def _paths(programs: CredentialPrograms | None) -> list[tuple[str, str, str]]:
    """Volume, path and type. What lies in a directory that is mounted anyway is not mounted again."""
    if programs is None:
        return []
    is_file = PurePosixPath(programs.config).suffix in _FILES
    wanted = [
        ("credential-provider-bin", programs.bin_dir, "Directory"),
        ("credential-provider-config", programs.config, "File" if is_file else "Directory"),
        *((f"credential-provider-file-{number}", path, "File") for number, path in enumerate(programs.others)),
    ]
    directories = [PurePosixPath(path) for _, path, kind in wanted if kind == "Directory"]
    found: dict[str, tuple[str, str, str]] = {}
    for name, path, kind in wanted:
        if not any(directory in PurePosixPath(path).parents for directory in directories):
            found.setdefault(path, (name, path, kind))
    return list(found.values())


def _host_path(name: str, path: str, kind: str) -> Object:
    return {"name": name, "hostPath": {"path": path, "type": kind}}
