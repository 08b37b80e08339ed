"""What the node's runtime holds, asked by another gRPC client than the program's own, and what it logged."""

import re
import time
from collections.abc import Iterable

from nodeprefetch.rpc import cri
from tests.support.containerd import Containerd
from tests.support.cri_probe import call_unary


def image_ids(containerd: Containerd, names: Iterable[str]) -> dict[str, str]:
    """Name to image ID by ImageStatus; the empty text for an image that is not held."""
    found = {}
    for name in names:
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=name))
        answer = call_unary(containerd.socket, "/runtime.v1.ImageService/ImageStatus", bytes(request))
        image = cri.ImageStatusResponse.parse(answer).image
        found[name] = image.id if image else ""
    return found


def wait_for_log(containerd: Containerd, pattern: str) -> None:
    """Block until a line of its log matches: it writes when the client has its answer already."""
    end = time.monotonic() + 30
    while not re.search(pattern, containerd.log_text):
        assert time.monotonic() < end, f"not in containerd's log: {pattern}"
        time.sleep(0.02)
