"""Brings made images to where something finds them: a registry (by plain HTTP), an OCI layout on disk."""

import base64
import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.testing.images import Blob, Image, Index


class PushError(NodeprefetchError):
    """A registry did not take what was pushed."""


def push(image: Image | Index, name: str, *, username: str = "", password: str = "") -> str:
    """Push an image into a registry that speaks plain HTTP.

    Blobs that the registry holds already are not sent again (OCI distribution specification, "Push").

    Args:
        image: what to push, with all its platforms.
        name: `127.0.0.1:5000/team/app:1`, the tag included.
        username: for Basic authentication; none is sent without it.
        password: the password to it.

    Returns:
        The name with the digest, `127.0.0.1:5000/team/app@sha256:…`.

    Raises:
        PushError: the registry refused.
        OSError: it could not be reached, or went away.
    """
    host, _, path = name.partition("/")
    repository, _, tag = path.rpartition(":")
    if not repository:
        raise PushError(f"invalid push target {name!r} (expected HOST:PORT/NAME:TAG)")
    upload = _Upload(host, repository, username, password)
    try:
        for blob in image.blobs:
            upload.blob(blob)
        for manifest in reversed(image.manifests):  # the index last: a registry wants its parts first
            upload.manifest(manifest, manifest.digest)
        upload.manifest(image.manifest, tag)
    finally:
        upload.close()
    return f"{host}/{repository}@{image.digest}"


def write_oci_layout(image: Image | Index, directory: Path, *, tag: str = "latest") -> None:
    """Write the image as an OCI image layout, as `skopeo` and `ctr images import` read it.

    Args:
        image: what to write, with all its platforms.
        directory: created if missing.
        tag: the name under which the layout holds it.
    """
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for blob in (*image.manifests, *image.blobs):
        (blobs / blob.digest.removeprefix("sha256:")).write_bytes(blob.data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    named = image.manifest.descriptor | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))


class _Upload:
    """One connection to a registry, for one repository."""

    def __init__(self, host: str, repository: str, username: str, password: str) -> None:
        self._connection = http.client.HTTPConnection(host)
        self._repository = repository
        self._headers: dict[str, str] = {}
        if username:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    def close(self) -> None:
        self._connection.close()

    def blob(self, blob: Blob) -> None:
        status, _ = self._request("HEAD", f"/v2/{self._repository}/blobs/{blob.digest}")
        if status == http.HTTPStatus.OK:
            return
        _, location = self._request("POST", f"/v2/{self._repository}/blobs/uploads/", wanted=202)
        address = urlsplit(location)
        query = f"{address.query}&" if address.query else ""
        target = f"{address.path}?{query}digest={blob.digest.replace(':', '%3A')}"
        self._request("PUT", target, body=blob.data, media_type="application/octet-stream", wanted=201)

    def manifest(self, manifest: Blob, reference: str) -> None:
        path = f"/v2/{self._repository}/manifests/{reference}"
        self._request("PUT", path, body=manifest.data, media_type=manifest.media_type, wanted=201)

    def _request(
        self, method: str, path: str, *, body: bytes = b"", media_type: str = "", wanted: int | None = None
    ) -> tuple[int, str]:
        headers = self._headers | ({"Content-Type": media_type} if media_type else {})
        self._connection.request(method, path, body=body, headers=headers)
        response = self._connection.getresponse()
        text = response.read().decode(errors="replace")
        if wanted is not None and response.status != wanted:
            raise PushError(f"{method} {path} was answered with {response.status}, not {wanted}: {text[:300]}")
        return response.status, response.headers.get("Location", "")
