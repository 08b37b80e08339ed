"""The only program that containers of a test cluster can run: it waits to be ended."""

import gzip
import hashlib
import tarfile

from nodeprefetch.testing.images import LAYER_TYPE, Blob, Image, Layer, make_image, make_layer
from tests.support.cluster_programs import programs_directory

COMMAND = "/pause"


def make_pause_image(size: int, *, seed: str) -> Image:
    """An image with the program, and below it a layer of that size.

    That no other image has this layer makes a runtime unpack both, which it also must download for that.
    """
    with tarfile.open(programs_directory() / "pause.tar") as archive:
        layer = archive.extractfile("layer.tar")
        assert layer is not None
        content = layer.read()
    blob = Blob.of(gzip.compress(content, mtime=0), LAYER_TYPE)
    program = Layer(blob=blob, diff_id="sha256:" + hashlib.sha256(content).hexdigest())
    return make_image(seed=seed, sizes=(), layers=[make_layer(size, seed=seed), program])
