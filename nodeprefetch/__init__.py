"""Brings container images onto Kubernetes nodes before anyone needs them."""

__version__ = "0.1.0"
