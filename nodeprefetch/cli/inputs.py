"""Reads what a command is given besides settings: image lists and the options of credential plugins."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nodeprefetch.cli.flags import CredentialFlags
from nodeprefetch.errors import UsageError
from nodeprefetch.text.list_lines import STANDARD_INPUT, first_problems
from nodeprefetch.values.image_list import (
    MAX_LIST_BYTES,
    ImageList,
    decode_image_list,
    merge,
    parse_image_arguments,
    unique,
)
from nodeprefetch.values.image_ref import ImageRef

if TYPE_CHECKING:
    from nodeprefetch.credentials.plugins import Plugin

_OPTION = re.compile(r"(?P<plugin>[^.=]+)\.(?P<key>[^=]+)=(?P<value>.*)", re.DOTALL)


class ImageListError(UsageError):
    """The image lists, or the names given as arguments, are unreadable, invalid or empty."""


def read_list_file(file: str) -> bytes:
    """Read a list; `-` is standard input. Reads no more than is needed to see that it is too long.

    Raises:
        OSError: it cannot be read.
        ValueError: the path contains a NUL byte.
    """
    from nodeprefetch.text.plain_file import read_given  # noqa: PLC0415 - not for --help

    return read_given(file, MAX_LIST_BYTES + 1)


def read_images(
    files: Sequence[str], arguments: Sequence[str], *, read: Callable[[str], bytes] = read_list_file
) -> tuple[ImageRef, ...]:
    """Return the images of all lists, then those of the arguments, each once.

    Args:
        files: names of the lists.
        arguments: names of images.
        read: reads a list, as `read_list_file` does.

    Raises:
        ImageListError: with every unreadable file and every invalid line; or there are no images.
    """
    lists = [_read_list(file, read) for file in files]
    given = parse_image_arguments(arguments)
    images = merge([*lists, given])
    if images.problems:
        raise ImageListError([problem for each in (*lists, given) for problem in first_problems(each.problems)])
    if not images.images:
        names = ", ".join(STANDARD_INPUT if file == "-" else file for file in files)
        problem = f"{names} contain{'s' if len(files) == 1 else ''} no images" if files else "no images given"
        raise ImageListError([f"{problem}; pass them as arguments or with --image-list-file"])
    return unique(images.refs)


def read_needed(
    file: str | None, images: Sequence[ImageRef], *, read: Callable[[str], bytes] = read_list_file
) -> tuple[str, ...] | None:
    """Return which of the images a node needs before it takes pods, as they are written in the lists.

    Args:
        file: the list of `--gate-needs`; None: all.
        images: of the lists.
        read: reads a list, as `read_list_file` does.

    Raises:
        ImageListError: with every invalid line, and every image that is in none of the lists; or there are no images.
    """
    if file is None:
        return None
    needed = _read_list(file, read)
    problems = list(first_problems(needed.problems))
    names = {image.pull_ref: image.text for image in images}
    problems += [
        f"{listed.origin}:{listed.line}: {listed.ref.text} is not in the image lists"
        for listed in needed.images
        if listed.ref.pull_ref not in names
    ]
    if not (needed.images or problems):
        problems.append(f"{STANDARD_INPUT if file == '-' else file} contains no images")
    if problems:
        raise ImageListError([f"--gate-needs: {problem}" for problem in problems])
    return tuple(dict.fromkeys(names[image.ref.pull_ref] for image in needed.images))


def plugin_options(flags: CredentialFlags) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the options of each plugin: from `--credential-option` and from the flags that stand for an option.

    Raises:
        UsageError: with every option that is not NAME.KEY=VALUE, by its number: it may contain a secret.
    """
    options: dict[str, dict[str, tuple[str, ...]]] = {}

    def add(plugin: str, key: str, *values: str) -> None:
        if values:
            of_plugin = options.setdefault(plugin, {})
            of_plugin[key] = (*of_plugin.get(key, ()), *values)

    add("pull-secrets", "config", *flags.docker_config)
    if flags.image_credential_provider_config:
        add("kubelet", "config", flags.image_credential_provider_config)
    if flags.image_credential_provider_bin_dir:
        add("kubelet", "bin-dir", flags.image_credential_provider_bin_dir)
    problems = []
    for number, text in enumerate(flags.credential_option, start=1):
        option = _OPTION.fullmatch(text)
        if option is None:
            problems.append(f"--credential-option number {number}: must be NAME.KEY=VALUE")
        else:
            add(option["plugin"], option["key"], option["value"])
    if problems:
        raise UsageError(problems)
    return options


def load_credential_plugins(
    flags: CredentialFlags, variables: Mapping[str, str], warn: Callable[[str], None]
) -> "tuple[Plugin, ...]":
    """Load and configure the installed credential plugins.

    Args:
        flags: options and order of the plugins.
        variables: environment variables, for the plugins.
        warn: receives what is wrong with plugins that are skipped.

    Raises:
        UsageError: with all invalid options, names and files.
    """
    from nodeprefetch.credentials.plugins import load_plugins  # noqa: PLC0415 - not for --help

    return load_plugins(plugin_options(flags), environment=variables, warn=warn, order=plugin_order(flags))


def plugin_order(flags: CredentialFlags) -> tuple[str, ...]:
    """Return the names of the plugins to try first."""
    names = (flags.credential_order or "").split(",")
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _read_list(file: str, read: Callable[[str], bytes]) -> ImageList:
    try:
        return decode_image_list(read(file), origin=STANDARD_INPUT if file == "-" else file)
    except OSError as error:
        return ImageList(problems=(f"{file}: cannot be read: {error.strerror or error}",))
    except ValueError:
        return ImageList(problems=(f"{file!r}: cannot be read: the path must not contain a NUL byte",))
