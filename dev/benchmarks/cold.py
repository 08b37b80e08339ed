"""Compare cold pulls with parallel `ctr images pull` and with a download of the same bytes."""

import http.client
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.figures import MEBIBYTE, Figure, ratio
from benchmarks.processes import run, run_together
from benchmarks.startup import fetch
from benchmarks.surroundings import Surroundings, size_of
from nodeprefetch.testing.images import Image
from tests.support.spawn import find_program

_COUNT = 16
_LAYERS = (12 * MEBIBYTE, 6 * MEBIBYTE, 2 * MEBIBYTE)
_ROUNDS = 5


def cold(around: Surroundings) -> Iterator[Figure]:
    """Measure in rounds, removing everything in between and reversing the order each time."""
    node = around.node("cold pulls")
    if node is None:
        return
    names, images = node.push_images(_COUNT, _LAYERS, name="cold")
    ctr = [
        str(find_program("ctr")),
        *("--address", str(node.socket), "--namespace", "k8s.io", "images", "pull", "--plain-http"),
    ]
    ways = {
        "fetch": lambda: run(fetch(around, node.socket, *names)).seconds,
        "ctr": lambda: run_together([[*ctr, name] for name in names]),
        "raw": lambda: download(names, images),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(_ROUNDS + 1):  # the first round warms the caches and does not count
        for way in list(ways) if number % 2 else reversed(ways):
            node.empty()
            took = ways[way]()
            if number:
                seconds[way].append(took)
    node.empty()
    what = size_of(images)
    ours = Figure(name=f"{what}, cold", unit="s", values=tuple(seconds["fetch"]))
    theirs = Figure(name=f"  with {_COUNT} ctr images pull at once", unit="s", values=tuple(seconds["ctr"]))
    raw = Figure(name="  only downloading the same bytes", unit="s", values=tuple(seconds["raw"]))
    yield from (ours, theirs, raw)
    yield ratio("  fetch / ctr", ours, theirs, goal=1.03)
    yield ratio("  fetch / download", ours, raw)


def download(names: Sequence[str], images: Sequence[Image]) -> float:
    """Download all blobs of the images and discard them, three at once per image. Return the seconds."""
    targets = [(name, blob.digest) for name, image in zip(names, images, strict=True) for blob in image.blobs]
    began = time.monotonic()
    with ThreadPoolExecutor(3 * len(names)) as threads:
        list(threads.map(lambda target: _get(*target), targets))
    return time.monotonic() - began


def _get(name: str, digest: str) -> None:
    host, _, repository = name.rpartition(":")[0].partition("/")
    connection = http.client.HTTPConnection(host)
    buffer = bytearray(MEBIBYTE)
    try:
        connection.request("GET", f"/v2/{repository}/blobs/{digest}")
        response = connection.getresponse()
        while response.readinto(buffer):
            pass
    finally:
        connection.close()
