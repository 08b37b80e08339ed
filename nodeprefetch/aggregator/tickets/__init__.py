"""Tickets over HTTP: which nodes may pull, and how many."""
