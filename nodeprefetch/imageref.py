"""The old import path of `ImageRef`, for plugins written for 0.1.0. To be removed in 0.2.0."""

import warnings

from nodeprefetch.values.image_ref import ImageRef, ImageRefError

__all__ = ["ImageRef", "ImageRefError"]

warnings.warn(f"{__name__} is deprecated, import from nodeprefetch.credentials", DeprecationWarning, stacklevel=2)
