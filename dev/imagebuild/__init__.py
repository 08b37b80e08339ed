"""Build steps of the image, run by the Python that goes into it, with only its standard library."""
