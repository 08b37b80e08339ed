"""The image list of now: what the pods of an installation are told to pull, as the API server has it."""

import posixpath
from collections.abc import Mapping

import msgspec

from nodeprefetch.cluster.installation import Installation, MountedFile
from nodeprefetch.errors import NoAccessError
from nodeprefetch.kube import NotFoundError
from nodeprefetch.kube.read_objects import ConfigMap
from nodeprefetch.kube.reads import KubeReads
from nodeprefetch.values.image_list import (
    ImageList,
    decode_image_list,
    list_digest,
    merge,
    parse_image_arguments,
    unique,
)


class CurrentList(msgspec.Struct, frozen=True, kw_only=True):
    """The lists of an installation, all together."""

    digest: str | None = None
    """`values.image_list.list_digest`; None: the lists cannot be read from here, or are invalid."""

    images: tuple[str, ...] = ()
    """In order, as nodes report them; empty without a digest."""

    problems: tuple[str, ...] = ()
    """Why nodes cannot use the lists."""

    notes: tuple[str, ...] = ()
    """Why they cannot be read from here."""


async def read_current_list(kube: KubeReads, installation: Installation) -> CurrentList:
    """Read the ConfigMaps of an installation's lists.

    Raises:
        KubeError: the API server did not answer.
    """
    if installation.arguments is None:
        return CurrentList(notes=tuple(f"the image list is unknown: {note}" for note in installation.notes))
    maps: dict[str, ConfigMap | None] = {}
    for file in installation.arguments.list_files:
        mounted = mounted_at(file, installation.files)
        if mounted is None or mounted.config_map in maps:
            continue
        try:
            maps[mounted.config_map] = await kube.config_map(installation.namespace, mounted.config_map)
        except NotFoundError:
            maps[mounted.config_map] = None
        except NoAccessError as refused:
            return CurrentList(notes=(f"the image list cannot be read, so any list counts: {refused.on_one_line}",))
    return current_list(installation, maps)


def current_list(installation: Installation, config_maps: Mapping[str, ConfigMap | None]) -> CurrentList:
    """Put the lists together, as `fetch` and `keep` do it.

    Args:
        installation: whose arguments are known.
        config_maps: by name; None: it does not exist.
    """
    arguments = installation.arguments
    assert arguments is not None  # noqa: S101 - the caller has looked
    lists: list[ImageList] = []
    for file in arguments.list_files:
        mounted = mounted_at(file, installation.files)
        if mounted is None:
            note = f"{file} is not in a ConfigMap, so its images are unknown and any list counts"
            return CurrentList(notes=(note,))
        lists.append(_list_in(file, mounted, config_maps.get(mounted.config_map)))
    joined = merge([*lists, parse_image_arguments(arguments.images)])
    problems = joined.problems
    if not (problems or joined.images):
        problems = (f"{', '.join(arguments.list_files) or 'the list'} contains no images",)
    if problems:
        return CurrentList(problems=problems)
    refs = unique(joined.refs)
    return CurrentList(digest=list_digest(refs), images=tuple(ref.text for ref in refs))


def mounted_at(file: str, mounts: tuple[MountedFile, ...]) -> MountedFile | None:
    """The ConfigMap that a file is in; None: none. The innermost mount wins, as in the container."""
    found = [each for each in mounts if _key_of(file, each) is not None]
    return max(found, key=lambda each: len(each.path), default=None)


def _key_of(file: str, mounted: MountedFile) -> str | None:
    """The key that the file would be; None: it is not in this mount."""
    path, mount = posixpath.normpath(file), posixpath.normpath(mounted.path)
    if mounted.sub_path:
        name = mounted.sub_path if path == mount else None
    else:
        name = posixpath.relpath(path, mount) if path.startswith(f"{mount}/") else None
    if name is None or mounted.items is None:
        return name
    return next((key for key, item in mounted.items if posixpath.normpath(item) == name), None)


def _list_in(file: str, mounted: MountedFile, config_map: ConfigMap | None) -> ImageList:
    if config_map is None:
        return ImageList(problems=(f"{file}: there is no ConfigMap {mounted.config_map}",))
    key = _key_of(file, mounted) or ""
    text = (config_map.data or {}).get(key)
    data = (config_map.binary_data or {}).get(key) if text is None else text.encode(errors="surrogatepass")
    if data is None:
        return ImageList(problems=(f"{file}: ConfigMap {mounted.config_map} has no key {key}",))
    return decode_image_list(data, origin=file)
