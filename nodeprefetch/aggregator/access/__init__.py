"""Authentication and authorization of submissions and queries."""
