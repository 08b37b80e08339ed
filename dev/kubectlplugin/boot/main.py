"""Entry point of the file. Any Python can read it, also 2.7, to start a suitable one or to say which is needed."""

import sys

from .contents import NEWEST, OLDEST


def main():
    """Start the program with this Python, or with another one of the PATH if this one is too old or too new."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        from .start import start

        start()
    else:
        from .other_python import run_with_another

        sys.exit(run_with_another())
