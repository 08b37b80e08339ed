"""Sums up which images were found, and compares them with a list. Pure functions."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from nodeprefetch.discover.documents import Document
from nodeprefetch.discover.places import Place, places
from nodeprefetch.values.image_ref import ImageRef, ImageRefError

CLUSTER = "cluster"
"""Source of what was found in running pods."""


class FoundPlace(Place, frozen=True, kw_only=True, omit_defaults=True):
    """Where an image was found."""

    source: str
    """The file, as the user named it; `standard input`, or `CLUSTER`."""

    node: str = ""
    """Of the pod; empty if this is not a pod, or if it has not been scheduled."""

    digest: str = ""
    """Of what runs there; empty if it is not known."""

    @property
    def object_name(self) -> str:
        """The object: `Deployment/web`; empty: the document is not a Kubernetes object."""
        return f"{self.kind}/{self.name}" if self.kind else ""

    @property
    def origin(self) -> tuple[str, str, str]:
        """The object, among all that were read."""
        return self.source, self.object_name, self.namespace


class FoundImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was found."""

    image: str
    """Its full name."""

    guessed: bool
    """Whether all places are guesses."""

    nodes: int
    """On how many nodes pods run with it."""

    digests: tuple[str, ...]
    """Of what runs there, in order. Several: the tag has moved."""

    places: tuple[FoundPlace, ...]
    """In the order in which they were read."""


class FoundImages(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    images: tuple[FoundImage, ...]
    """By name."""

    problems: tuple[str, ...]
    """Texts in the place of an image that cannot be one, such as variables."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which images are wanted."""

    registries: Sequence[str] = ()
    """Only images of these; empty: of all."""

    excluded: Sequence[str] = ()
    """Patterns with `*` and `?` of full names, or of names as they are written, to leave out."""

    min_nodes: int = 0
    """Only images of pods on so many nodes."""

    def leaves_out(self, name: str) -> bool:
        """Whether a pattern matches."""
        return any(fnmatchcase(name, pattern) for pattern in self.excluded)


def places_in(documents: Iterable[Document], *, with_guesses: bool) -> Iterator[FoundPlace]:
    """Yield all places of all documents; see `places`."""
    for document in documents:
        for place in places(document.content, with_guesses=with_guesses):
            yield FoundPlace(source=document.source, **msgspec.structs.asdict(place))


def sum_up(found: Iterable[FoundPlace], choice: Choice) -> FoundImages:
    """Sum up which images are in these places."""
    by_image: dict[str, list[FoundPlace]] = {}
    names: dict[str, str] = {}
    problems: list[str] = []
    for place in found:
        if choice.leaves_out(place.text):
            continue
        try:
            ref = ImageRef.parse(place.text)
        except ImageRefError as error:
            if not (place.guessed or place.source == CLUSTER):  # no node can run such a pod either
                problems.append(f"{': '.join(filter(None, (place.source, place.object_name, place.field)))}: {error}")
            continue
        if choice.leaves_out(ref.normalized) or (choice.registries and ref.registry not in choice.registries):
            continue
        names.setdefault(ref.pull_ref, ref.normalized)
        by_image.setdefault(ref.pull_ref, []).append(place)
    images = (_image(names[key], at) for key, at in by_image.items())
    wanted = [each for each in images if each.nodes >= choice.min_nodes]
    return FoundImages(images=tuple(sorted(wanted, key=lambda each: each.image)), problems=tuple(problems))


def _image(name: str, found: Sequence[FoundPlace]) -> FoundImage:
    # a guess about an object that is known to have the image says nothing new
    known = {each.origin for each in found if not each.guessed}
    return FoundImage(
        image=name,
        guessed=not known,
        nodes=len({each.node for each in found} - {""}),
        digests=tuple(sorted({each.digest for each in found} - {""})),
        places=tuple(each for each in found if not each.guessed or each.origin not in known),
    )


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed since a list was made. Full names, in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


def difference(images: Iterable[FoundImage], old: Iterable[ImageRef]) -> Difference:
    """Compare images with those of an older list, whatever their spelling."""
    now = {ImageRef.parse(each.image).pull_ref: each.image for each in images}
    before = {each.pull_ref: each.normalized for each in old}
    return Difference(
        added=tuple(sorted(now[key] for key in now.keys() - before.keys())),
        removed=tuple(sorted(before[key] for key in before.keys() - now.keys())),
    )
