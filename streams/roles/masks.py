"""A region as an 8-bit PNG: 255 inside, at mask resolution."""

import io

from streams.events import Region


def mask_png(region: Region) -> bytes:
    """Encode the region's mask. CPU-bound: call it off the event loop."""
    import numpy as np
    from PIL import Image

    from streams.regions import region_mask

    buffer = io.BytesIO()
    Image.fromarray(region_mask(region).astype(np.uint8) * 255).save(buffer, format="PNG")
    return buffer.getvalue()
