"""Reads the configuration from a file or a directory of files, which it merges like the kubelet."""

from collections.abc import Callable
from pathlib import Path

from nodeprefetch.credentials import Problems, UsageError, open_given
from nodeprefetch_kubelet.config import ProviderConfig, parse_config

MAX_FILE_BYTES = 1 << 20
"""A configuration with the providers of all clouds is less than a hundredth of it."""

_SUFFIXES = {".json", ".yaml", ".yml"}


def load_config(location: str, warn: Callable[[str], None]) -> tuple[ProviderConfig, ...]:
    """Read a file, or all `*.json`, `*.yaml` and `*.yml` directly in a directory, sorted by name.

    Args:
        location: the path.
        warn: called with each warning, with the file's name instead of its path.

    Raises:
        UsageError: lists all problems in all files, and all warnings, which may explain them.
    """
    problems = Problems()
    warnings: list[str] = []
    providers: list[ProviderConfig] = []
    files = _files(Path(location))
    for path in files:
        with problems.collected():
            odd: list[str] = []
            providers.extend(parse_config(_read(path), str(path), problems, odd.append))
            # Warnings leave the node: they have only the file's name.
            warnings += (text.removeprefix(str(path).removesuffix(path.name)) for text in odd)
    _refuse_equal_names(providers, problems)
    try:
        problems.raise_if_any()
    except UsageError as error:
        raise UsageError([*error.problems, *warnings]) from None
    for warning in warnings:
        warn(warning)
    if not providers:
        raise UsageError([f"{location}: contains no providers"])
    return tuple(providers)


def _files(location: Path) -> list[Path]:
    try:
        if not location.is_dir():
            return [location]
        # Includes links, also broken ones, which are an error then: the files of a mounted ConfigMap are links.
        files = [path for path in location.iterdir() if path.suffix in _SUFFIXES and not path.is_dir()]
    except (OSError, ValueError) as error:
        raise _unreadable(location, error) from error
    if not files:
        raise UsageError([f"{location}: no *.json, *.yaml or *.yml in this directory"])
    return sorted(files, key=lambda path: path.name.encode("utf-8", "surrogateescape"))


def _read(path: Path) -> bytes:
    try:
        with open_given(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(data) > MAX_FILE_BYTES:
        raise UsageError([f"{path}: larger than {MAX_FILE_BYTES} bytes (not a credential provider configuration?)"])
    return data


def _unreadable(path: Path, error: OSError | ValueError) -> UsageError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return UsageError([f"{path}: cannot be read: {reason}"])


def _refuse_equal_names(providers: list[ProviderConfig], problems: Problems) -> None:
    first: dict[str, ProviderConfig] = {}
    for provider in filter(lambda provider: provider.name, providers):
        other = first.setdefault(provider.name, provider)
        if other is not provider:
            problems.add(f"{provider.where}: same name as {other.where}")
