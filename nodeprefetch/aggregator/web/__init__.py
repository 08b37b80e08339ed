"""The routes: what is submitted and what is read."""
