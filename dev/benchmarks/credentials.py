"""Measure the cost of credentials: matching, started binaries, and a wrong credential before the right one."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, milliseconds, ratio
from benchmarks.processes import run
from benchmarks.startup import fetch
from benchmarks.surroundings import Surroundings
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from nodeprefetch.values.image_ref import ImageRef

_ENTRIES, _LOOKUPS, _IMAGES, _ROUNDS = 200, 500, 50, 9
_PROVIDER = """\
#!/bin/sh
echo started >>{log}
cat >/dev/null
sleep 0.2
echo '{{"kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",\
 "cacheKeyType": "Registry", "cacheDuration": "1h",\
 "auth": {{"registry.example.com": {{"username": "u", "password": "p"}}}}}}'
"""


def credentials(around: Surroundings) -> Iterator[Figure]:
    """Measure matching in this process, the rest with the installed program."""
    yield milliseconds(f"{_LOOKUPS} images looked up among {_ENTRIES} keys", _lookups(), goal=5)
    yield Figure(name=f"binaries started for {_IMAGES} images of one registry", unit="", values=_starts(around), goal=1)
    node = around.node("a wrong credential before the right one")
    if node is None:
        return
    with FakeRegistry() as registry:
        registry.require_basic({"u": "right-password"})
        name = registry.add("team/app:1", make_image([200_000], seed="credentials"))
        right = _secret(around.directory / "right", {registry.address: "right-password"})
        both = _secret(
            around.directory / "both",
            {f"{registry.address}/team": "wrong-password", registry.address: "right-password"},
        )
        seconds: dict[str, list[float]] = {right: [], both: []}
        for number in range(_ROUNDS + 1):  # the first round warms the caches and does not count
            for secret, taken in seconds.items():
                node.empty()
                took = run([*fetch(around, node.socket, name), "--docker-config", secret]).seconds
                if number:
                    taken.append(took)
        node.empty()
    alone = milliseconds("one small image, the right credential", seconds[right])
    second = milliseconds("  a wrong one first", seconds[both])
    yield from (alone, second)
    yield ratio("  wrong and right / only right", second, alone)


def _lookups() -> list[float]:
    """Time lookups. Nine of ten keys are a host, the others have a glob; nine of ten images match one."""
    hosts = [
        f"registry{number}.example.com" if number % 10 else f"*.zone{number}.example.com" for number in range(_ENTRIES)
    ]
    keyring = Keyring(KeyringEntry(key=host, auth=AuthConfig(username=host)) for host in hosts)
    images = [
        ImageRef.parse(f"{hosts[number % _ENTRIES].replace('*', 'x')}/team/app{number}:1") for number in range(_LOOKUPS)
    ]
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for image in images:
            keyring.lookup(image)
        seconds.append(time.perf_counter() - began)
    return seconds


def _starts(around: Surroundings) -> tuple[float, ...]:
    directory = around.directory / "providers"
    directory.mkdir()
    log, program, config = directory / "log", directory / "provider", directory / "config.json"
    program.write_text(_PROVIDER.format(log=log))
    program.chmod(0o755)
    provider = {
        "name": "provider",
        "matchImages": ["registry.example.com"],
        "defaultCacheDuration": "1h",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    }
    kind = {"kind": "CredentialProviderConfig", "apiVersion": "kubelet.config.k8s.io/v1"}
    config.write_text(json.dumps({**kind, "providers": [provider]}))
    runtime = around.fake_runtime(held=20)
    names = [f"registry.example.com/app{number}:latest" for number in range(_IMAGES)]
    flags = ["--image-credential-provider-config", str(config), "--image-credential-provider-bin-dir", str(directory)]
    starts = []
    for _ in range(3):
        log.write_text("")
        run([*fetch(around, runtime.socket, *names), *flags])
        starts.append(float(len(log.read_text().splitlines())))
    runtime.pulls()
    return tuple(starts)


def _secret(path: Path, passwords: dict[str, str]) -> str:
    auths = {key: {"username": "u", "password": password} for key, password in passwords.items()}
    path.write_text(json.dumps({"auths": auths}))
    return str(path)
