"""Runs a Prometheus on loopback, which scrapes as the generated ServiceMonitor says. Skips where there is none."""

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from deploy_gen.objects import Object
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.spawn import Daemon, find_program


@dataclass(frozen=True, kw_only=True, slots=True)
class Prometheus:
    """A running one."""

    port: int

    def ask(self, path: str, **query: str) -> Any:
        """Send a request to its API; returns `data`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(query)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert "success" == answer["status"], answer
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values of an expression now."""
        return [(each["metric"], float(each["value"][1])) for each in self.ask("query", query=expression)["result"]]


@contextmanager
def running_prometheus(directory: Path, *, target: int, monitor: Object, rules: Object) -> Iterator[Prometheus]:
    """Run it to the end of the block.

    Args:
        directory: for its data.
        target: port of the aggregator.
        monitor: the ServiceMonitor.
        rules: the PrometheusRule.
    """
    program = find_program("prometheus")
    if program is None and os.environ.get("NODEPREFETCH_REQUIRE_SERVICES") == "1":
        pytest.fail("NODEPREFETCH_REQUIRE_SERVICES is set, but: there is no prometheus")
    if program is None:
        pytest.skip("not installed (Debian package): prometheus")
    (endpoint,) = monitor["spec"]["endpoints"]
    metadata = monitor["metadata"]
    found = {  # as the operator writes it: the job is the Service
        "namespace": metadata["namespace"],
        "service": metadata["name"],
        "endpoint": endpoint["port"],
        "pod": f"{metadata['name']}-0",
        "container": "aggregator",
    }
    job = {
        "job_name": metadata["name"],
        "honor_labels": endpoint["honorLabels"],
        "metrics_path": endpoint["path"],
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{target}"], "labels": found}],
    }
    config = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(directory / "rules.json")],
        "scrape_configs": [job],
    }
    (directory / "prometheus.json").write_text(json.dumps(config))
    (directory / "rules.json").write_text(json.dumps(rules["spec"]))
    port = free_port()
    log = directory / "log"
    command = [
        program,
        f"--config.file={directory / 'prometheus.json'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    daemon = Daemon(command, log, {})
    try:
        daemon.wait_until(lambda: "Server is ready" in log.read_text(errors="replace"), patience=PATIENCE)
        yield Prometheus(port=port)
    finally:
        daemon.stop()
