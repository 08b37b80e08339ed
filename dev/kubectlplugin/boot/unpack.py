"""Unpacks archives that are in the single file."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from zipimport import zipimporter


def unpack(names: Iterable[str], place: Path) -> None:
    """Unpack archives of the file into a directory.

    Raises:
        OSError: the directory cannot be written.
    """
    loader = __loader__
    assert isinstance(loader, zipimporter)
    for name in names:
        data = loader.get_data(f"{loader.archive}/{name}")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(place)
