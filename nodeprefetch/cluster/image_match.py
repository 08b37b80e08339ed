"""Finds the image of a list that people mean by a part of its name. Pure functions."""

import difflib
from collections.abc import Sequence
from functools import lru_cache

from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef, ImageRefError, quote

_SHOWN = 10
"""Names in an error."""


def find_image(asked: str, listed: Sequence[str]) -> str | None:
    """Return the image of a list, as written there, that this names; None: none of them.

    A name matches in any spelling (`nginx` is `docker.io/library/nginx:latest`). Otherwise its last parts do, with
    or without tag and digest: `app`, `team/app` and `app:1` match `registry.example.com/team/app:1`.

    Raises:
        UsageError: it names more than one.
    """
    exact = [image for image in listed if image == asked] or [
        image for image in listed if pull_ref(image) == pull_ref(asked)
    ]
    found = exact or [image for image in listed if _ends_with(image, asked)]
    if len(found) > 1:
        raise UsageError([f"image {quote(asked)} is ambiguous: {_names(found)}"])
    return found[0] if found else None


def unknown_image(asked: str, where: str, listed: Sequence[str]) -> UsageError:
    """Return the error for an image that is not in the list.

    Args:
        asked: the name that matches none.
        where: the list, for the text.
        listed: its images; the most similar ones are named first.
    """
    similar = sorted(listed, key=lambda image: -_similarity(asked, image))
    return UsageError([f"image {quote(asked)} is not in {where}; it has {_names(similar)}"])


def _ends_with(image: str, asked: str) -> bool:
    try:
        ref = ImageRef.parse(image)
    except ImageRefError:
        return False
    tag = f":{ref.tag}" if ref.tag else ""
    digest = f"@{ref.digest}" if ref.digest else ""
    spellings = {ref.lookup_name + end for end in ("", tag, digest, tag + digest)} | {ref.normalized, image}
    return any(f"/{spelling}".endswith(f"/{asked}") for spelling in spellings)


@lru_cache(maxsize=20_000)
def pull_ref(image: str) -> str:
    """The normalized name of an image; what is not a valid name stays as it is."""
    try:
        return ImageRef.parse(image).pull_ref
    except ImageRefError:
        return image


def _similarity(asked: str, image: str) -> float:
    """From 0 to 1: of the whole names, or of the last parts of them."""
    pairs = (asked, image), (asked.rpartition("/")[2], image.rpartition("/")[2])
    return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)


def _names(images: Sequence[str]) -> str:
    more = len(images) - _SHOWN
    return ", ".join(map(quote, images[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
