"""The results: the SQLite database, and what is kept of it in memory."""
