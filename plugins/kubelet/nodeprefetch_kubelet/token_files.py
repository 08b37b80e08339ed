"""The option `token-file`: the files with service account tokens for the programs.

`PATH` is for all programs that take a token, `NAME=PATH` for one of them. It is meant for a projected token, which the
kubelet replaces before it expires, so the file is read at each call.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from nodeprefetch.credentials import Problems, open_given, quote
from nodeprefetch_kubelet.config import ProviderConfig
from nodeprefetch_kubelet.errors import KubeletProviderError

_MAX_BYTES = 64 << 10


def assign_token_files(values: Iterable[str], providers: Iterable[ProviderConfig], option: str) -> Mapping[str, Path]:
    """Return the token file of each program that has one.

    Args:
        values: of the option; a later value replaces an earlier one for the same programs.
        providers: all configured ones.
        option: its name, for messages.

    Raises:
        UsageError: a file cannot be read or has no token; a program takes no token or is not configured.
    """
    problems = Problems()
    takers = {provider.name for provider in providers if provider.token}
    for_all: dict[str, Path] = {}
    for_one: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if equals and "/" not in name:  # a program's name has no slash, so a slash before the = is in a path
            for_one[name] = Path(path)
            if name not in takers:
                problems.add(f"{option} {value}: no provider {quote(name)} with tokenAttributes")
        else:
            for_all = dict.fromkeys(takers, Path(value))
            if not takers:
                problems.add(f"{option} {value}: no provider has tokenAttributes")
    files = for_all | for_one
    for file in sorted(set(files.values())):
        try:
            read_token(file)
        except KubeletProviderError as error:
            problems.add(f"{option} {file}: {error}")
    problems.raise_if_any()
    return files


def read_token(path: Path) -> str:
    """Return the token in a file, without surrounding whitespace.

    Raises:
        KubeletProviderError: it cannot be read or has no token. The text leaves the node, so it has no path.
    """
    try:
        with open_given(path) as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise KubeletProviderError(f"the token file cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise KubeletProviderError("the token file cannot be read: a path must not contain a NUL byte") from error
    token = data.decode("ascii", "replace").strip()
    if not token.isascii() or not token.isprintable() or not token or len(data) > _MAX_BYTES:
        raise KubeletProviderError("the token file contains no valid token")
    return token
