"""Text that comes in and goes out: read safely, printable, without secrets."""
