"""Watch a process every 0.2 s until standard input ends, then print the results as JSON.

watch.py PID PORT DEADLY-RSS CA-FILE
"""

import http.client
import json
import os
import select
import signal
import ssl
import sys
import threading
import time
from pathlib import Path

EVERY = 0.2
PATIENCE = 20.0


def memory(pid: int, which: str = "VmRSS") -> int | None:
    """Return the bytes of a field of /proc; None if the process has exited."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{which}:")), None)


class Health:
    """Requests /healthz every 0.2 s over its own connection."""

    def __init__(self, port: int, ca_file: str) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self.longest = 0.0
        self.refusals: set[str] = set()
        self.asked_at: float | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        """Send requests until stopped."""
        while not self.stopping.wait(EVERY):
            self.ask_once()

    def ask_once(self) -> None:
        """Send a request and record its duration and response."""
        self.asked_at = began = time.monotonic()
        try:
            said = self._ask()
        except (OSError, http.client.HTTPException) as error:
            said = type(error).__name__
        if self.stopping.is_set():
            return
        self.asked_at = None
        self.longest = max(self.longest, time.monotonic() - began)
        if said != "200":
            self.refusals.add(said)

    def _ask(self) -> str:
        if self._tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        else:
            connection = http.client.HTTPSConnection("localhost", self._port, timeout=PATIENCE, context=self._tls)
        try:
            connection.request("GET", "/healthz")
            return str(connection.getresponse().status)
        finally:
            connection.close()


def watch() -> None:
    """Watch."""
    pid, port, deadly, ca_file = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    health = Health(port, ca_file)
    if port:
        health.ask_once()
        threading.Thread(target=health.run, daemon=True).start()
    print("ready", flush=True)
    worst = 0
    while True:
        has_ended = select.select([sys.stdin], [], [], EVERY)[0]
        worst = max(worst, memory(pid, "VmHWM") or 0)
        now = memory(pid)
        if has_ended or now is None:
            break
        if now > deadly:
            os.kill(pid, signal.SIGKILL)
            break
    is_alive = memory(pid) is not None
    health.stopping.set()
    asked_at = health.asked_at
    pending = time.monotonic() - asked_at if asked_at and is_alive else 0.0
    seen = {
        "rss": worst,
        "health": max(health.longest, pending) if port else None,
        "refusals": sorted(health.refusals) if is_alive else [],
        "is_alive": is_alive,
    }
    print(json.dumps(seen), flush=True)
    os._exit(0)  # not waiting for an answer that does not come


if __name__ == "__main__":
    watch()
