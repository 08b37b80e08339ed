"""What is kept: the database and what is known of it in memory."""
