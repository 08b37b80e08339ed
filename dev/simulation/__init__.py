"""Simulates a cluster that pulls a list of images: the product's code for "who pulls when", on virtual time."""
