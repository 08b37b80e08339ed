"""Handles a request to the fake registry: authentication, target, response and fault."""

import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from nodeprefetch.testing.registry_answers import (
    Answer,
    blob_answer,
    error_answer,
    manifest_answer,
    read_path,
)
from nodeprefetch.testing.registry_content import Content
from nodeprefetch.testing.registry_faults import Fault, FaultKind, FaultScript, Target
from nodeprefetch.testing.registry_log import Request, RequestLog
from nodeprefetch.testing.registry_quota import Turnstile
from nodeprefetch.testing.tokens import Gatekeeper, Verdict

_JSON = {"Content-Type": "application/json"}


class Exchange:
    """One request with its response; see `nodeprefetch.testing.registry_delivery.Exchange`."""

    def __init__(self, desk: "Desk", number: int, answer: Answer, fault: Fault) -> None:
        self.answer = answer
        self.fault = fault
        self._desk = desk
        self._number = number
        self._releases_before = desk.releases

    def is_released(self) -> bool:
        """Whether stalled responses have been released since this request arrived."""
        return self._desk.releases > self._releases_before

    def finish(self, *, status: int | None, bytes_sent: int, cut_by_client: bool) -> None:
        """Complete the record of this request."""
        self._desk.log.finish(self._number, status=status, bytes_sent=bytes_sent, cut_by_client=cut_by_client)


class Desk:
    """Handles requests. May be used from several threads.

    Args:
        content: what there is to serve.
        ranges: honour Range headers.
    """

    def __init__(self, content: Content, *, ranges: bool) -> None:
        self.log = RequestLog()
        self.script = FaultScript()
        self.gatekeeper = Gatekeeper()
        self.turnstile = Turnstile()
        self.url = ""
        """URL of the registry, for challenges."""

        self._content = content
        self._ranges = ranges
        self._lock = threading.Lock()
        self._releases = 0

    @property
    def releases(self) -> int:
        """Number of releases of stalled responses."""
        with self._lock:
            return self._releases

    def release(self) -> None:
        """Continue all stalled responses."""
        with self._lock:
            self._releases += 1

    def exchange(self, method: str, path: str, headers: dict[str, str], body: bytes, *, address: str) -> Exchange:
        """Return the response to a request from an address (header names in lower case)."""
        parts = urlsplit(path)
        parameters = parse_qs(parts.query or body.decode(errors="replace"))
        authorization = headers.get("authorization", "")
        target = self._target(parts.path, parameters, is_range="range" in headers)
        request = Request(
            method=method,
            path=path,
            stage=target.stage if target else "unknown",
            repository=target.repository if target else "",
            reference=target.reference if target else "",
            user=self.gatekeeper.user_named(authorization) or parameters.get("username", [""])[0],
            range=headers.get("range", ""),
            user_agent=headers.get("user-agent", ""),
            address=address,
            started=time.monotonic(),
        )
        number = self.log.begin(request)
        if target is None or method not in ("GET", "HEAD", "POST"):
            return Exchange(self, number, error_answer(HTTPStatus.NOT_FOUND, code="UNSUPPORTED"), Fault.none())
        refusal = self.turnstile.refusal(address, method, target.stage)
        if refusal is not None:
            return Exchange(self, number, refusal, Fault.none())
        verdict, answer = self._answer(target, authorization, parameters, request.range)
        is_turned_away = target.stage not in ("ping", "token") and verdict.status != HTTPStatus.OK
        fault = Fault.none() if is_turned_away else self.script.take(target)
        if fault.kind is FaultKind.STATUS:
            answer = error_answer(fault.code, headers=fault.headers)
            if fault.body is not None:
                answer = Answer(status=fault.code, headers=fault.headers, body=fault.body)
        return Exchange(self, number, answer, fault)

    def _target(self, path: str, parameters: Mapping[str, list[str]], *, is_range: bool) -> Target | None:
        wanted = read_path(path)
        match wanted.what:
            case "ping":
                return Target(stage="ping")
            case "token":
                _, _, rest = parameters.get("scope", [""])[0].partition(":")
                return Target(stage="token", repository=rest.rpartition(":")[0])
            case "manifest":
                return Target(stage="manifest", repository=wanted.repository, reference=wanted.reference)
            case "blob":
                stage = self._content.stage_of_blob(wanted.repository, wanted.reference)
                return Target(stage=stage, repository=wanted.repository, reference=wanted.reference, is_range=is_range)
        return None

    def _answer(
        self,
        target: Target,
        authorization: str,
        parameters: Mapping[str, list[str]],
        requested_range: str,
    ) -> tuple[Verdict, Answer]:
        if target.stage == "token":
            verdict, document = self.gatekeeper.issue(authorization, parameters)
            return verdict, Answer(status=verdict.status, headers=_JSON, body=document)
        if target.stage == "ping":
            verdict = self.gatekeeper.judge_ping(authorization, self.url)
        else:
            verdict = self.gatekeeper.judge(authorization, target.repository, self.url)
        if verdict.status != HTTPStatus.OK:
            challenge = {"WWW-Authenticate": verdict.challenge} if verdict.challenge else {}
            return verdict, error_answer(verdict.status, headers=challenge)
        if target.stage == "ping":
            return verdict, Answer(status=HTTPStatus.OK, headers=_JSON, body=b"{}")
        return verdict, self._served(target, requested_range)

    def _served(self, target: Target, requested_range: str) -> Answer:
        if target.stage == "manifest":
            manifest = self._content.manifest(target.repository, target.reference)
            if manifest is not None:
                return manifest_answer(manifest)
            is_known = self._content.knows(target.repository)
            return error_answer(HTTPStatus.NOT_FOUND, code="MANIFEST_UNKNOWN" if is_known else "NAME_UNKNOWN")
        blob = self._content.blob(target.repository, target.reference)
        if blob is None:
            return error_answer(HTTPStatus.NOT_FOUND, code="BLOB_UNKNOWN")
        return blob_answer(blob, requested_range, ranges=self._ranges)
