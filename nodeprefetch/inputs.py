"""What a run is given besides flags: image lists and secrets, read and checked before anything is done."""

import sys
from collections.abc import Sequence

from nodeprefetch.credentials.dockerconfig import DockerConfig
from nodeprefetch.credentials.source import DockerConfigSource, load_docker_config
from nodeprefetch.errors import UsageError
from nodeprefetch.imagelist import MAX_LIST_BYTES, ImageList, decode_image_list, merge, parse_image_arguments, unique
from nodeprefetch.imageref import ImageRef


def read_images(files: Sequence[str], arguments: Sequence[str]) -> tuple[ImageRef, ...]:
    """The images of all lists, then of the arguments, each once.

    Raises:
        UsageError: with every file that cannot be read and every line that is no image reference; or there is none.
    """
    lists = [_read_list(file) for file in files]
    images = merge([*lists, parse_image_arguments(arguments)])
    if images.problems:
        raise UsageError(images.problems)
    if not images.images:
        where = f"{', '.join(files)}: there is no image in it" if files else "no images given"
        raise UsageError([f"{where}: name them as arguments or in --image-list-file"])
    return unique(images.refs)


def _read_list(file: str) -> ImageList:
    try:
        if file == "-":
            return decode_image_list(sys.stdin.buffer.read(MAX_LIST_BYTES + 1), origin="standard input")
        with open(file, "rb") as stream:  # noqa: PTH123 - a name as the user gave it, for messages too
            return decode_image_list(stream.read(MAX_LIST_BYTES + 1), origin=file)
    except OSError as error:
        return ImageList(problems=(f"{file}: cannot be read: {error.strerror or error}",))


def read_credentials(docker_config: str | None) -> DockerConfigSource:
    """The credentials of the file; a source that knows none where no file is named.

    Raises:
        UsageError: the file cannot be used at all.
    """
    if not docker_config:
        return DockerConfigSource("no credentials", DockerConfig())
    return load_docker_config(docker_config)
