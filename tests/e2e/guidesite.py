"""A directory to type commands of the guides in, at an API server without nodes."""

import subprocess
from pathlib import Path

from tests.e2e.programs import install_programs
from tests.support.apiserver import ApiServer
from tests.support.cluster_programs import programs_directory


class GuideSite:
    """Types scripts as an administrator does. What they read and write is in the directory."""

    def __init__(self, server: ApiServer, directory: Path) -> None:
        self.kubectl = server.kubectl
        self._kubeconfig = server.kubeconfig
        self._directory = directory
        self._programs = directory / "bin"
        install_programs(self._programs)
        # Without kubelets nothing gets warm: what is waited for is there, and that is all.
        self.program("kubectl-nodeprefetch", '[ "$1" = wait ] && exec kubectl get daemonset "$2" --namespace "$4"')

    def program(self, name: str, text: str) -> None:
        """Have a program of this name, a shell script, in place of the real one."""
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Write a file into the directory."""
        (self._directory / name).write_text(text)

    def type(self, script: str) -> None:
        """Run a shell script. Raises AssertionError where it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._directory,
            capture_output=True,
            text=True,
            env={
                "PATH": f"{self._programs}:{programs_directory()}:/usr/bin:/bin",
                "HOME": str(self._directory),
                "KUBECONFIG": str(self._kubeconfig),
            },
            check=False,
        )
        assert 0 == done.returncode, f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"


def in_namespace(name: str, script: str) -> str:
    """The same commands for another namespace than `prefetch`, which other tests use."""
    for text in ("namespace ", "namespace: "):
        script = script.replace(f"{text}prefetch", f"{text}{name}")
    return script
