"""The main errors, provoked on a real runtime: each gets its class, and the class is acted upon.

One run meets them all at once, an image for each error. When those that are final have failed and the others have
been seen to fail, the registry is healed.
"""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError
from nodeprefetch.testing.images import Image, Index, make_broken_image, make_foreign_index, make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from nodeprefetch.testing.registry_faults import Stage
from tests.integration.program import Ended, Line, Program, RunFetch, fetch_arguments
from tests.support.containerd import Containerd
from tests.support.proxy import FaultProxy

pytestmark = pytest.mark.containerd

NO_HOST = f"{'a' * 64}.test"
"""A label longer than DNS allows: every resolver says at once, and without asking anybody, that it does not exist."""

HTML = Fault.status(200, headers={"Content-Type": "text/html"}, body=b"<html>Please log in</html>")
LAYER_SIZE = 300_000


@dataclass
class Scene:
    """The registry, and where else things are."""

    containerd: Containerd
    registry: FakeRegistry
    refusing: FaultProxy
    untrusted: FakeRegistry
    throttling: FakeRegistry
    """Where pulls go one at a time after a 429 or 503, so that the others need not wait for them."""

    portal: FakeRegistry
    """Answers everything with a page for people."""

    def serve(self, name: str, image: Image | Index | None = None) -> str:
        return self.registry.add(f"{name}:1", image or make_image((LAYER_SIZE,), seed=f"errors {name}"))

    def fail(self, name: str, stage: Stage, fault: Fault) -> str:
        whole = self.serve(name)
        self.registry.fail(stage, fault, image=f"{name}:1", forever=True)
        return whole

    def throttle(self, name: str, stage: Stage, status: int) -> str:
        whole = self.throttling.add(f"{name}:1", make_image((LAYER_SIZE,), seed=f"errors {name}"))
        self.throttling.fail(stage, Fault.status(status), image=f"{name}:1", forever=True)
        return whole

    def missing(self) -> str:
        return f"{self.registry.address}/missing:1"

    def basic(self) -> str:
        self.registry.require_basic({"ann": "secret"}, prefix="basic")
        return self.serve("basic/app")

    def bearer(self) -> str:
        self.registry.require_bearer({"ann": "secret"}, prefix="bearer")
        return self.serve("bearer/app")

    def tls_to_plain_http(self) -> str:
        self.serve("plain")
        self.containerd.use_registry("plain.test", self.registry.url.replace("http:", "https:"))
        return "plain.test/plain:1"

    def untrusted_certificate(self) -> str:
        self.untrusted.add("untrusted:1", make_image(seed="untrusted"))
        self.containerd.use_registry("untrusted.test", self.untrusted.url)
        return "untrusted.test/untrusted:1"

    def login_page(self) -> str:
        for stage in ("ping", "manifest", "layer"):
            self.portal.fail(stage, HTML, forever=True)
        return f"{self.portal.address}/page:1"

    def refused(self) -> str:
        self.serve("refused")
        self.refusing.refuse()
        return f"{self.refusing.address}/refused:1"


@dataclass
class Case:
    arrange: Callable[[Scene], str]
    """Makes it go wrong; returns the image's name."""
    kind: str
    reason: str
    attempts: int | None = None
    """How many until it has failed for good; None: it arrives once the registry is healed."""


CASES = {
    "no such tag": Case(Scene.missing, "permanent", "not_found", 1),
    "401 Basic": Case(Scene.basic, "refused", "unauthorized", 1),
    "a Bearer token without rights": Case(Scene.bearer, "refused", "denied", 1),
    "401 without challenge": Case(
        lambda s: s.fail("e401", "manifest", Fault.status(401)), "refused", "unauthorized", 1
    ),
    "403": Case(lambda s: s.fail("e403", "manifest", Fault.status(403)), "refused", "denied", 1),
    "403 for a layer": Case(lambda s: s.fail("layer403", "layer", Fault.status(403)), "refused", "denied", 1),
    "400": Case(lambda s: s.fail("e400", "manifest", Fault.status(400)), "permanent", "client_error", 1),
    "TLS to plain HTTP": Case(Scene.tls_to_plain_http, "permanent", "tls", 1),
    "untrusted certificate": Case(Scene.untrusted_certificate, "permanent", "tls", 1),
    "no matching platform": Case(lambda s: s.serve("foreign", make_foreign_index()), "permanent", "no_platform", 1),
    "layer that cannot be unpacked": Case(
        lambda s: s.serve("broken", make_broken_image()), "permanent", "bad_layer", 1
    ),
    "login page": Case(Scene.login_page, "passing", "not_a_registry", 4),
    "wrong bytes": Case(lambda s: s.fail("bytes", "layer", Fault.wrong_bytes()), "passing", "bad_digest", 2),
    "404 for a layer": Case(lambda s: s.fail("layer404", "layer", Fault.status(404)), "passing", "blob_missing", 2),
    "unresolvable": Case(lambda _: f"{NO_HOST}/app:1", "passing", "dns", 4),
    "429": Case(lambda s: s.throttle("e429", "manifest", 429), "passing", "rate_limited"),
    "429 for a layer": Case(lambda s: s.throttle("layer429", "layer", 429), "passing", "rate_limited"),
    "500": Case(lambda s: s.fail("e500", "manifest", Fault.status(500)), "passing", "server_error"),
    "503 for a layer": Case(lambda s: s.throttle("layer503", "layer", 503), "passing", "server_error"),
    "no answer": Case(lambda s: s.fail("dropped", "manifest", Fault.drop()), "passing", "connection"),
    "reset in mid layer": Case(lambda s: s.fail("reset", "layer", Fault.reset_after(1000)), "passing", "connection"),
    "refused connection": Case(Scene.refused, "passing", "connection"),
    "stalled manifest": Case(lambda s: s.fail("stalled", "manifest", Fault.stall()), "passing", "stalled"),
    "stalled layer": Case(lambda s: s.fail("layer-stalled", "layer", Fault.stall_after(1000)), "passing", "stalled"),
}


@dataclass
class Met:
    """The run that met all errors."""

    names: dict[str, str]
    """Case to image."""
    ended: Ended


@pytest.fixture(scope="module")
def met(containerd: Containerd) -> Iterator[Met]:
    certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "untrusted.test").configure_cert(certificates)
    with (
        FakeRegistry() as registry,
        FakeRegistry() as throttling,
        FakeRegistry() as portal,
        FakeRegistry(tls=certificates) as untrusted,
    ):
        host, _, port = registry.address.rpartition(":")
        with FaultProxy((host, int(port))) as refusing:
            scene = Scene(containerd, registry, refusing, untrusted, throttling, portal)
            names = {what: case.arrange(scene) for what, case in CASES.items()}
            options = {"initial_pull_attempt_timeout": "4s"}
            program = Program(fetch_arguments(containerd, list(names.values()), options))
            try:
                final = {names[what] for what, case in CASES.items() if case.attempts}
                others = set(names.values()) - final
                program.wait_until(
                    lambda log: final <= seen(log, "image failed") and others <= seen(log, "attempt failed"),
                    "all have failed once, or for good",
                )
                registry.heal()
                throttling.heal()
                refusing.accept()
                yield Met(names, program.end())
            finally:
                program.kill()


def seen(log: list[Line], message: str) -> set[str]:
    return {line["image"] for line in log if line["msg"] == message}


@pytest.mark.parametrize("what", CASES)
def test_an_error_gets_its_class(met: Met, what: str) -> None:
    case, first = CASES[what], met.ended.lines("attempt failed", image=met.names[what])[0]

    assert (case.kind, case.reason) == (first["class"], first["reason"]), first["error"]


@pytest.mark.parametrize("what", [what for what, case in CASES.items() if case.attempts])
def test_an_error_that_does_not_pass_ends_its_image(met: Met, what: str) -> None:
    result = met.ended.result(met.names[what])

    assert ("image failed", CASES[what].attempts) == (result["msg"], result["attempts"])
    assert CASES[what].reason == result["reason"]


@pytest.mark.parametrize("what", [what for what, case in CASES.items() if not case.attempts])
def test_an_error_that_passes_is_got_over(met: Met, what: str) -> None:
    result = met.ended.result(met.names[what])

    assert "image succeeded" == result["msg"]
    assert result["attempts"] >= 2


def test_one_that_failed_makes_the_run_fail(met: Met) -> None:
    assert 1 == met.ended.code
    assert sum(case.attempts is not None for case in CASES.values()) == met.ended.summary["failed"]


def test_every_attempt_is_told_with_image_number_limit_and_time(met: Met) -> None:
    for line in (*met.ended.lines("attempt failed"), *met.ended.lines("pulled")):
        assert {"image", "attempt", "limit", "elapsed"} <= line.keys()


@pytest.mark.parametrize(
    "name", ["registry.test/UPPER:1", "registry.test/app: 1", "http://registry.test/app", "a" * 64]
)
async def test_a_bad_name_is_refused_for_good(containerd: Containerd, name: str) -> None:
    """The command line lets no such name pass, so the runtime is asked directly."""
    async with open_channel(str(containerd.socket)) as channel:
        with pytest.raises(RuntimeFaultError) as raised:
            await CriImageService(channel).pull_image(name)

    assert (FaultClass.PERMANENT, "bad_name") == (raised.value.fault.kind, raised.value.fault.reason)


def test_a_registry_with_tls_is_pulled_from(containerd: Containerd, run_fetch: RunFetch, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "trusted.test").configure_cert(certificates)
    with FakeRegistry(tls=certificates) as registry:
        registry.add("app:1", make_image(seed="trusted"))
        containerd.use_registry("trusted.test", registry.url, ca=tmp_path / "ca.pem")

        assert 0 == run_fetch(containerd, "trusted.test/app:1").code
