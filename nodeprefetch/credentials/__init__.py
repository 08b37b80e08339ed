"""Who may pull what: credentials, where they come from, and which image they match."""
