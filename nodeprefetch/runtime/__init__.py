"""The container runtime as this program sees it."""
