"""Finds the images that Kubernetes manifests name."""
