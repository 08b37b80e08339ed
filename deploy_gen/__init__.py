"""Prints the Kubernetes manifests that install nodeprefetch. Uses the standard library only."""

__version__ = "0.1.0"
"""Version of nodeprefetch, and default tag of its image."""
