"""Prints the Kubernetes manifests of an installation of nodeprefetch. Standard library only."""

__version__ = "0.1.0"
"""That of nodeprefetch: the image with this tag is what is installed by default."""
