"""The images of the fake registry."""

import threading
from collections.abc import Iterable

from nodeprefetch.testing.images import Blob, Image, Index
from nodeprefetch.testing.registry_faults import Stage


class Content:
    """Images under repository and tag. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tags: dict[tuple[str, str], Image | Index] = {}
        self._images: dict[str, dict[str, Image | Index]] = {}

    def put(self, repository: str, tag: str, image: Image | Index) -> None:
        """Add the image; a previous one with the tag stays under its digest."""
        with self._lock:
            self._tags[repository, tag] = image
            self._images.setdefault(repository, {})[image.digest] = image

    def remove(self, repository: str, tag: str) -> None:
        """Remove it under the tag and under its digest."""
        with self._lock:
            image = self._tags.pop((repository, tag))
            self._images[repository].pop(image.digest, None)

    def knows(self, repository: str) -> bool:
        """Return whether the repository has an image."""
        return bool(self._all(repository))

    def manifest(self, repository: str, reference: str) -> Blob | None:
        """Return the manifest or index of that tag or digest."""
        with self._lock:
            tagged = self._tags.get((repository, reference))
        if tagged is not None:
            return tagged.manifest
        return _find(reference, (blob for image in self._all(repository) for blob in image.manifests))

    def blob(self, repository: str, digest: str) -> Blob | None:
        """Return the config or layer of that digest."""
        return _find(digest, (blob for image in self._all(repository) for blob in image.blobs))

    def stage_of_blob(self, repository: str, digest: str) -> Stage:
        """Return whether the digest belongs to a config or (also if unknown) to a layer."""
        configs = (part.config for image in self._all(repository) for part in image.images)
        return "config" if _find(digest, configs) else "layer"

    def references(self, stage: Stage, repository: str, tag: str, layer: int | None = None) -> set[str]:
        """Return the tags and digests by which clients request an image's parts at a stage.

        Raises:
            KeyError: the image is not held, or a layer is asked for that it does not have.
        """
        with self._lock:
            image = self._tags.get((repository, tag))
        if stage == "manifest":
            return {tag} | ({blob.digest for blob in image.manifests} if image else set())
        if image is None:
            raise KeyError(f"{repository}:{tag} is not in this registry")
        if stage == "config":
            return {part.config.digest for part in image.images}
        layers = [part.layers if layer is None else part.layers[layer : layer + 1] for part in image.images]
        digests = {blob.digest for blobs in layers for blob in blobs}
        if not digests:
            raise KeyError(f"{repository}:{tag} has no layer {layer}")
        return digests

    def _all(self, repository: str) -> tuple[Image | Index, ...]:
        with self._lock:
            return tuple(self._images.get(repository, {}).values())


def _find(digest: str, blobs: Iterable[Blob]) -> Blob | None:
    return next((blob for blob in blobs if blob.digest == digest), None)
