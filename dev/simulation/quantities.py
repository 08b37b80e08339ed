"""Sizes and rates on the command line."""

import argparse
import re

_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)(i?)(B|bit|)(?:/s)?")


def parse_size(text: str) -> float:
    """Return the bytes of `125MB`, `1.5G` or `80Mi`.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    amount, unit = _parse(text)
    if unit == "bit":
        raise argparse.ArgumentTypeError(f"invalid size {text!r} (expected e.g. 125MB)")
    return amount


def parse_rate(text: str) -> float:
    """Return the bytes per second of `10Gbit` or `50MB`.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    amount, unit = _parse(text)
    return amount / 8 if unit == "bit" else amount


def _parse(text: str) -> tuple[float, str]:
    match = _FORM.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"invalid amount {text!r} (expected e.g. 125MB or 10Gbit)")
    power = len("kMGT"[: "kMGT".index(match[2]) + 1]) if match[2] else 0
    return float(match[1]) * (1024 if match[3] else 1000) ** power, match[4]
