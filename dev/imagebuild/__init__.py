"""Steps of the image's build; run by the Python that goes into the image, with nothing but its standard library."""
