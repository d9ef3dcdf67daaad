"""Pictures that do not travel with their event: fetched by ``dataref``, or drawn from a region."""

import asyncio
import io

from streams.codes import ReasonCode
from streams.errors import UnavailableError
from streams.events import Region
from streams.ports import Failure, ImageStore


async def fetched(dataref: str, store: ImageStore | None, timeout_s: float) -> bytes | Failure:
    """The bytes as captured; a ``Failure`` when they are absent or the store is down."""
    if store is None:
        return _missing("no image store is configured", retryable=False)
    try:
        async with asyncio.timeout(timeout_s):
            return await store.get(dataref)
    except KeyError:
        return _missing(f"no object {dataref}", retryable=False)
    except (UnavailableError, TimeoutError) as error:
        return _missing(f"{dataref}: {error or 'the store did not answer'}", retryable=True)
    except Exception as error:  # noqa: BLE001 - a port that raises is unavailable
        return _missing(f"{dataref}: {type(error).__name__}: {error}", retryable=True)


def mask_png(region: Region) -> bytes:
    """The region as an 8-bit PNG: 255 inside, at mask resolution.

    CPU-bound: call it off the event loop.
    """
    import numpy as np
    from PIL import Image

    from streams.regions import region_mask

    buffer = io.BytesIO()
    grey = np.ascontiguousarray(region_mask(region)).view(np.uint8)
    grey *= 255
    Image.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def _missing(message: str, retryable: bool) -> Failure:
    return Failure(ReasonCode.UNDECODABLE_IMAGE, "ImageUnavailable", message, retryable)
