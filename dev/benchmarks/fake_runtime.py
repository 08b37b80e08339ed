"""Run a fake container runtime in its own process. It reports times of pulls on the clock shared by all processes.

    fake_runtime.py SOCKET NUMBER-OF-IMAGES-HELD

It prints `ready`, and for each line of standard input a line with the times of all pulls since the last one.
"""

import hashlib
import json
import sys
from pathlib import Path

from nodeprefetch.runtime.api import ImageRecord
from tests.support.cri_server import FakeCriServer


def digest(text: str) -> str:
    """Return something like a digest."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def held(number: int) -> ImageRecord:
    """Return an image as runtimes list it."""
    name = f"registry.example.com:5000/team-{number % 20}/service-{number}"
    return ImageRecord(
        id=digest(f"id {number}"),
        repo_tags=(f"{name}:v1.{number}",),
        repo_digests=(f"{name}@{digest(name)}",),
        size=100_000_000 + number,
    )


def main() -> None:
    """Serve until standard input ends."""
    socket, count = Path(sys.argv[1]), int(sys.argv[2])
    with FakeCriServer(socket, otherwise=digest("pulled"), images=[held(number) for number in range(count)]) as server:
        print("ready", flush=True)
        seen = 0
        for _ in sys.stdin:
            pulls = server.pulls
            print(json.dumps([pull.started for pull in pulls[seen:]]), flush=True)
            seen = len(pulls)


if __name__ == "__main__":
    main()
