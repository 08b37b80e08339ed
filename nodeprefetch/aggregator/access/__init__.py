"""Who may submit and read."""
