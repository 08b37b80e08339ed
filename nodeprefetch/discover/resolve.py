"""Pins tags to the digests that they stand for now."""

from collections.abc import Mapping, Sequence

import msgspec
import trio

from nodeprefetch.credentials.auth import CredentialSource
from nodeprefetch.discover.images import FoundImage
from nodeprefetch.discover.registries import Registries, RegistryError
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef

_AT_ONCE = 8
"""Images that are asked for at the same time."""


async def resolved(
    images: Sequence[FoundImage], credentials: CredentialSource, environment: Mapping[str, str]
) -> tuple[FoundImage, ...]:
    """Return the images with tag and digest in their names, in order.

    Args:
        images: what was found.
        credentials: for each image, as for `fetch`.
        environment: variables that name proxies.

    Raises:
        UsageError: with every image whose digest is not known, and why.
    """
    digests: dict[str, str] = {}
    problems: dict[str, str] = {}
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def ask(name: str) -> None:
        async with limit:
            try:
                digests[name] = await registries.digest(ImageRef.parse(name))
            except RegistryError as error:
                problems[name] = f"{name}: {error}"

    async with Registries(credentials, environment) as registries, trio.open_nursery() as nursery:
        for image in images:
            nursery.start_soon(ask, image.image)
    if problems:
        raise UsageError([problems[image.image] for image in images if image.image in problems])
    return tuple(msgspec.structs.replace(each, image=_pinned(each.image, digests[each.image])) for each in images)


def _pinned(name: str, digest: str) -> str:
    return name if "@" in name else f"{name}@{digest}"
