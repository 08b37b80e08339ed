"""The option `token-file`: which file holds the service account token for which program.

`PATH` is for all programs that take a token, `NAME=PATH` for the one of that name. It is meant for a projected token,
which the kubelet replaces before it expires: so it is read at each call.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from nodeprefetch.errors import Problems
from nodeprefetch.text.plain_file import open_given
from nodeprefetch.values.image_ref import quote
from nodeprefetch_kubelet.config import ProviderConfig
from nodeprefetch_kubelet.errors import KubeletProviderError

_MAX_BYTES = 64 << 10


def assign_token_files(values: Iterable[str], providers: Iterable[ProviderConfig], option: str) -> Mapping[str, Path]:
    """The file for each program that has one.

    Args:
        values: of the option; a later one replaces an earlier one of the same meaning.
        providers: all that are configured.
        option: what it is called, for messages.

    Raises:
        UsageError: a file that cannot be read or holds no token; one for a program that takes none or is not there.
    """
    problems = Problems()
    takers = {provider.name for provider in providers if provider.token}
    for_all: dict[str, Path] = {}
    for_one: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if equals and "/" not in name:  # a program's name has no slash, so one in front of the = is in a path
            for_one[name] = Path(path)
            if name not in takers:
                problems.add(f"{option} {value}: there is no provider {quote(name)} with tokenAttributes")
        else:
            for_all = dict.fromkeys(takers, Path(value))
            if not takers:
                problems.add(f"{option} {value}: there is no provider with tokenAttributes")
    files = for_all | for_one
    for file in sorted(set(files.values())):
        try:
            read_token(file)
        except KubeletProviderError as error:
            problems.add(f"{option} {file}: {error}")
    problems.raise_if_any()
    return files


def read_token(path: Path) -> str:
    """The token in a file, without blanks around it.

    Raises:
        KubeletProviderError: it cannot be read, or there is none in it. The text leaves the node, so it has no path.
    """
    try:
        with open_given(path) as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise KubeletProviderError(f"the token file cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise KubeletProviderError("the token file cannot be read: a path must not hold a NUL") from error
    token = data.decode("ascii", "replace").strip()
    if not token.isascii() or not token.isprintable() or not token or len(data) > _MAX_BYTES:
        raise KubeletProviderError("the token file holds no token")
    return token
