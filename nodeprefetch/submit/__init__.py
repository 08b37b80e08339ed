"""Sending results to an aggregator."""
