"""Sends results to an aggregator."""
