"""The aggregator's ports: the defaults of `nodeprefetch aggregate`."""

READING = 8080
"""Reading, health, and submission."""

SUBMISSION = 8443
"""Submission alone: fetch pods use this one, so that a network policy can tell it from reading."""
