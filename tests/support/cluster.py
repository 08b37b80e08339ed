"""A real Kubernetes cluster on this machine, by `dev/cluster` of a checkout: used, disturbed, always taken down."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.cluster_programs import programs_directory
from tests.support.kubectl import Kubectl
from tests.support.spawn import DaemonError

SCRIPT = Path(__file__).parents[2] / "dev" / "cluster"

OPEN_REGISTRY, LOGIN_REGISTRY = "127.0.0.1:5000", "127.0.0.1:5001"
"""Both serve the same images, inside the cluster. The second wants a login."""

USER, PASSWORD = "ci-reader", "not-a-real-password"
"""The login."""


def node_address(number: int) -> str:
    """A node's IP address, the same in each cluster."""
    return f"10.98.0.{number}"


class Cluster:
    """A cluster; a context manager. Needs root, Linux, and what `dev/cluster build` makes.

    Names of registries lead to registries inside: `registry.example.com` to one that wants a login, all others to the
    open one. Nothing leaves its network.

    Args:
        directory: of its own; its logs stay there.
        nodes: how many; the first one has the control plane and the registries too.
        containerd: `2`, or `debian` for the installed one.

    Raises:
        DaemonError: on entering: it did not come up.
    """

    def __init__(self, directory: Path, *, nodes: int = 1, containerd: str = "2") -> None:
        self._directory = directory.absolute()
        self.nodes = nodes
        """How many there are."""

        self._containerd = containerd
        self._name = f"npf{os.getpid()}-{containerd}"
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not SCRIPT.exists():
            raise DaemonError(f"{SCRIPT} not found: clusters need a checkout")
        self._directory.mkdir(parents=True, exist_ok=True)
        # It takes the cluster down when this process closes the pipe, or ends in whatever way.
        self._keeper = subprocess.Popen(
            ["sh", "-c", 'cat; exec "$@"', "sh", str(SCRIPT), "down", "--dir", str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at a terminal is for us
        )
        try:
            options = [f"--nodes={self.nodes}", f"--containerd={self._containerd}", f"--name={self._name}"]
            self._script("up", *(part for option in options for part in option.split("=")))
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def down(self) -> None:
        """End it."""
        if self._keeper is not None:
            assert self._keeper.stdin
            self._keeper.stdin.close()
            self._keeper.wait()

    @property
    def kubectl(self) -> Kubectl:
        """As the administrator."""
        return Kubectl(command=self.command("kubectl"), environment=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """What `dev/cluster` and kubectl find in their environment."""
        return {
            "NODEPREFETCH_CACHE": str(programs_directory().parent),
            "KUBECACHEDIR": str(self._directory / "kubectl"),
        }

    def command(self, *command: str, node: int = 1) -> list[str]:
        """How a command is run as on that node: with its network and its files."""
        return [str(SCRIPT), "run", "--dir", str(self._directory), "--node", str(node), *command]

    def run(self, *command: str, node: int = 1) -> str:
        """Run it there; its standard output.

        Raises:
            DaemonError: it failed.
        """
        return self._run(self.command(*command, node=node))

    def add_node(self, *, taints: Sequence[str] = (), labels: Sequence[str] = ()) -> str:
        """One more node joins; its name.

        Args:
            taints: its kubelet registers it with, `KEY[=VALUE]:EFFECT`.
            labels: the same, `KEY=VALUE`.
        """
        options = [("--taint", taint) for taint in taints] + [("--label", label) for label in labels]
        self._script("add-node", *(part for option in options for part in option))
        self.nodes += 1
        return f"node-{self.nodes}"

    def stop_node(self, number: int) -> None:
        """All processes of the node end, as when it loses power."""
        self._script("stop-node", str(number))

    def start_node(self, number: int) -> None:
        """Start its daemons again."""
        self._script("start-node", str(number))

    def configure_kubelet(self, number: int, **settings: object) -> None:
        """Change settings of a node's kubelet, from its next start on; without any, they are as before.

        Args:
            number: of the node.
            settings: fields of KubeletConfiguration.
        """
        kind = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
        drop_in = self._directory / "conf" / f"kubelet-{number}.d" / "changed.conf"
        drop_in.write_text(json.dumps({**kind, **settings}))

    def restart_runtime(self, number: int) -> None:
        """Kill containerd on a node, and start it again; containers and kubelet go on."""
        self._script("restart-runtime", str(number))

    def start_api_server(self) -> None:
        """Start it again after it was killed; returns when it is ready."""
        self._script("start-api-server")

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Send a signal to a daemon: `kube-apiserver`, `registry-login`, `containerd-2`. SIGSTOP has it hang."""
        os.kill(int((self._directory / "run" / f"{daemon}.pid").read_text()), number)

    def network(self, node: int) -> Path:
        """The network namespace of a node."""
        return Path(f"/run/netns/{self._name}-{node}")

    def name_registry(self, host: str, address: str) -> None:
        """Let that name lead to a registry that speaks plain HTTP at this address, at once and on all nodes."""
        folder = self._directory / "conf" / "certs.d" / host
        folder.mkdir(exist_ok=True)
        (folder / "hosts.toml").write_text(f'server = "http://{address}"\n[host."http://{address}"]\n')

    def log_text(self, daemon: str) -> str:
        """All that a daemon has written."""
        return (self._directory / "log" / f"{daemon}.log").read_text(errors="replace")

    def _script(self, action: str, *arguments: str) -> None:
        self._run([str(SCRIPT), action, "--dir", str(self._directory), *arguments])

    def _run(self, command: list[str]) -> str:
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            raise DaemonError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout
