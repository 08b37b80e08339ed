"""The routes: submissions and queries."""
