"""Pictures that do not travel with their event: fetched by ``dataref``, or drawn from a region."""

import asyncio
import hashlib
import io

from streams.codes import ReasonCode
from streams.errors import UnavailableError
from streams.events import Frame, Region
from streams.failures import Cause, PermanentError
from streams.ids import FRAMES_PREFIX, is_frame_key
from streams.ports import MAX_OBJECT_BYTES, Failure, ImageStore


async def original(frame: Frame, store: ImageStore) -> bytes:
    """The picture that the gateway stored for a frame, as captured.

    A message may name any key: what is not below the frames' prefix is not read, no more is read
    than the frame has bytes, and it is used only if its hash is the frame's.

    Raises:
        KeyError: there is no such object.
        UnavailableError: the store is down.
        PermanentError: the key, the size or the hash is wrong.
    """
    key = frame.dataref or ""
    if not is_frame_key(key):
        raise PermanentError(Cause.INVALID, f"{key!r} is not below {FRAMES_PREFIX}: it is not read")
    if frame.size_bytes > MAX_OBJECT_BYTES:
        said = f"{key} has {frame.size_bytes} bytes; at most {MAX_OBJECT_BYTES} are read"
        raise PermanentError(Cause.TOO_LARGE, said)
    body = await store.get(key, frame.size_bytes)
    found = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
    if len(body) != frame.size_bytes or found != frame.sha256:
        raise PermanentError(Cause.INVALID, f"{key} is not the picture that was captured (sha256)")
    return body


async def fetched(frame: Frame, store: ImageStore | None, timeout_s: float) -> bytes | Failure:
    """``original`` within a time; a ``Failure`` when it cannot be had."""
    key = frame.dataref
    if store is None:
        return _missing("no image store is configured", retryable=False)
    try:
        async with asyncio.timeout(timeout_s):
            return await original(frame, store)
    except KeyError:
        return _missing(f"no object {key}", retryable=False)
    except PermanentError as error:
        return _missing(str(error), retryable=False)
    except (UnavailableError, TimeoutError) as error:
        return _missing(f"{key}: {error or 'the store did not answer'}", retryable=True)
    except Exception as error:  # noqa: BLE001 - a port that raises is unavailable
        return _missing(f"{key}: {type(error).__name__}: {error}", retryable=True)


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
