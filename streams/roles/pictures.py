"""The picture of an event: inline, or fetched by ``dataref``."""

import asyncio

from streams.codes import ReasonCode
from streams.errors import UnavailableError
from streams.events import Frame
from streams.ports import Failure, ImageStore


async def picture(
    frame: Frame, inline: bytes, store: ImageStore | None, timeout_s: float
) -> bytes | Failure:
    """The bytes as captured; a ``Failure`` when they are absent or the store is down."""
    if frame.dataref is None:
        return inline
    if store is None:
        return _missing("no image store is configured", retryable=False)
    try:
        async with asyncio.timeout(timeout_s):
            return await store.get(frame.dataref)
    except KeyError:
        return _missing(f"no object {frame.dataref}", retryable=False)
    except (UnavailableError, TimeoutError) as error:
        return _missing(f"{frame.dataref}: {error or 'the store did not answer'}", retryable=True)
    except Exception as error:  # noqa: BLE001 - a port that raises is unavailable
        return _missing(f"{frame.dataref}: {type(error).__name__}: {error}", retryable=True)


def _missing(message: str, retryable: bool) -> Failure:
    return Failure(ReasonCode.UNDECODABLE_IMAGE, "ImageUnavailable", message, retryable)
