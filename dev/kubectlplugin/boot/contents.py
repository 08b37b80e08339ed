"""What the file contains. `build.py` writes this module into the file; here it has examples."""

VERSION = "0.0.0"
DIGEST = "0123456789abcdef"  # of all that is unpacked
OLDEST = (3, 11)
NEWEST = (3, 14)
TARGETS = ("cpython-311-x86_64-linux-gnu",)
