"""The commands: flags, environment, exit codes, and one module per command."""
