"""Bytes for people, in powers of 1024."""

_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_WIDE = 100
"""From here on a number needs no decimals."""


def format_size(size: float) -> str:
    """`1.5 KiB`; empty when not known."""
    if not size:
        return ""
    unit = _unit(size)
    amount = size / _STEP**unit
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def format_share(done: int, total: int) -> str:
    """`143 of 512 MiB`; of an unknown total (0) `143 MiB`."""
    unit = _unit(total or done)
    scale = _STEP**unit
    whole = (total or done) / scale
    digits = 0 if unit == 0 or whole >= _WIDE else 1
    share = f"{done / scale:.{digits}f} of {whole:.{digits}f}" if total else f"{whole:.{digits}f}"
    return f"{share} {_UNITS[unit]}"


def format_rate(rate: float) -> str:
    """`4.1 MiB/s`; empty when nothing comes."""
    size = format_size(round(rate))
    return f"{size}/s" if size else ""


def _unit(size: float) -> int:
    unit = 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    return unit
