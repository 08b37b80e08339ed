"""What is in the single file beside the program: finds a Python, unpacks once, and starts the program."""
