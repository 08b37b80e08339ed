"""Readers of a run's events: none knows another."""
