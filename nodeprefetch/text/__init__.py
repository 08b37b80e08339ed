"""Text input and output: list files, printable text, masked secrets, non-blocking output."""
