"""Pulls container images onto Kubernetes nodes before pods need them."""

__version__ = "0.1.0"
