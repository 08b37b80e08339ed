"""Pulling images onto the node: the run, each image, each attempt."""
