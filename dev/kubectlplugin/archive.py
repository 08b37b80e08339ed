"""Archives that are the same whenever and wherever they are made."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can have."""


def zip_of(files: Mapping[str, bytes], *, begin: bytes = b"", stored: Iterable[str] = ()) -> bytes:
    """Return a zip file.

    Args:
        files: content by name.
        begin: what precedes the archive in the file.
        stored: names of files that are not compressed (again).
    """
    stored = set(stored)
    out = io.BytesIO()
    out.write(begin)
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _FIRST_DAY)
            entry.create_system = 3  # Unix
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=9)
    return out.getvalue()


def tar_gz_of(files: Mapping[str, bytes], *, executable: Iterable[str] = ()) -> bytes:
    """Return a compressed tar file.

    Args:
        files: content by name.
        executable: names of files that are programs.
    """
    executable = set(executable)
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o755 if name in executable else 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return out.getvalue()
