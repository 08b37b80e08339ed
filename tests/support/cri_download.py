"""Downloads an image as a runtime would, and throws it away: for the fake CRI server, on asyncio, by plain HTTP."""

import asyncio
import base64
import hashlib
import http.client
import io
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.testing.images import INDEX_TYPE, MANIFEST_TYPE, host_architecture
from nodeprefetch.values.image_ref import ImageRef
from tests.support.cri_directories import DownloadDirectory

_ACCEPTED = f"{MANIFEST_TYPE}, {INDEX_TYPE}, */*"
"""A real registry says that an OCI manifest is not there when it is not asked for by its type."""


class DownloadError(Exception):
    """The registry did not give what was asked for; the text is as containerd words it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """What was downloaded."""

    image_id: str
    digest: str
    """Of the manifest or index that the name stands for."""

    size: int
    """Bytes of manifest, config and layers."""


async def download(ref: ImageRef, auth: AuthConfig | None, directory: DownloadDirectory | None = None) -> Downloaded:
    """Download manifest, config and layers; no more than three blobs at once, as containerd does.

    Args:
        ref: with a registry at `HOST:PORT`.
        auth: sent as HTTP Basic. Bearer tokens are not known here.
        directory: where blobs are kept while they arrive, as CRI-O does; None: nowhere.

    Raises:
        DownloadError: the registry's answer was not the content that was asked for.
        OSError: it could not be reached, or went away.
    """
    registry = _Registry(ref, auth)
    named = await registry.manifest(ref.digest or ref.tag or "latest")
    manifest, digest = named, "sha256:" + hashlib.sha256(named).hexdigest()
    document = json.loads(named)
    if document.get("mediaType") == INDEX_TYPE:
        ours = [each for each in document["manifests"] if each["platform"]["architecture"] == host_architecture()]
        if not ours:
            raise DownloadError("NOT_FOUND", "no match for platform in manifest: not found")
        manifest = await registry.manifest(ours[0]["digest"])
        document = json.loads(manifest)
    parts = [document["config"], *document["layers"]]
    slots = asyncio.Semaphore(3)
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(registry.blob(part["digest"], slots, directory))
    if directory is not None:
        await directory.unpack()
    size = len(manifest) + sum(part["size"] for part in parts)
    return Downloaded(image_id=document["config"]["digest"], digest=digest, size=size)


async def _read_body(reader: asyncio.StreamReader, length: int, path: Path | None) -> bytes:
    """The body, which is also in the file as far as it has come."""
    if path is None:
        return await reader.readexactly(length)
    body = b""
    with path.open("xb", buffering=0) as file:
        while len(body) < length:
            part = await reader.read(min(length - len(body), 32 * 1024))
            if not part:
                raise asyncio.IncompleteReadError(body, length)
            file.write(part)
            body += part
    return body


class _Registry:
    def __init__(self, ref: ImageRef, auth: AuthConfig | None) -> None:
        self._ref = ref
        self._authorization = ""
        if auth is not None:
            pair = base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
            self._authorization = f"Authorization: Basic {pair}\r\n"

    async def manifest(self, reference: str) -> bytes:
        return await self._get(f"manifests/{reference}")

    async def blob(self, digest: str, slots: asyncio.Semaphore, directory: DownloadDirectory | None) -> None:
        async with slots:
            data = await self._get(f"blobs/{digest}", directory.next_file() if directory else None)
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != digest:
            text = f"unexpected commit digest {found}, expected {digest}: failed precondition"
            raise DownloadError("FAILED_PRECONDITION", text)

    async def _get(self, path: str, file: Path | None = None) -> bytes:
        host, _, port = self._ref.registry.rpartition(":")
        repository = self._ref.lookup_name.partition("/")[2]
        target = f"/v2/{repository}/{path}"
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(
                f"GET {target} HTTP/1.1\r\nHost: {self._ref.registry}\r\n"
                f"User-Agent: nodeprefetch-fake-runtime\r\nAccept: {_ACCEPTED}\r\n"
                f"{self._authorization}Connection: close\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            status_line, _, fields = head.partition(b"\r\n")
            length = http.client.parse_headers(io.BytesIO(fields))["Content-Length"]
            body = await _read_body(reader, int(length), file)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError(f'Get "http://{self._ref.registry}{target}": EOF') from error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        status = status_line.decode().partition(" ")[2]
        if status.startswith("200 "):
            return body
        if status.startswith("404 "):
            raise DownloadError("NOT_FOUND", f"{self._ref.pull_ref}: not found")
        url = f"http://{self._ref.registry}{target}"
        raise DownloadError("UNKNOWN", f"unexpected status from GET request to {url}: {status}")
