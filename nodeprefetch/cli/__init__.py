"""The commands: their flags, and how they begin and end."""
