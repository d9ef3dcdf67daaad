"""Cameras whose features change with the recipe."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from connectors.cameras.live import Loses
from connectors.errors import CameraLostError, CaptureError
from streams.ports import Camera, Picture, Trigger

Feature = bool | int | float | str


@runtime_checkable
class Adjustable(Protocol):
    """A camera that can be given other features while it is open."""

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """Stand as the settings say, with these features on top, and give pictures.

        Raises:
            CaptureError: a feature is refused, and the camera stands as before.
            CameraLostError: it has to be opened again, and then stands as before.
        """
        ...


async def adjusted(camera: Camera, features: Mapping[str, Feature]) -> None:
    """Give the camera these features.

    Raises:
        CaptureError: it has none that can be set, or refuses one.
    """
    if isinstance(camera, Adjustable):
        await camera.adjust(features)
    elif features:
        raise CaptureError(
            f"camera: {next(iter(features))} cannot be set: only cameras of the kinds genicam and "
            "synthetic have features"
        )


class FeaturedCamera:
    """``Camera`` that is made anew for other features: many cannot be set during acquisition.

    Args:
        make: a camera with these features, not opened. Raises ``CaptureError`` for what cannot be.
        base: the features of the settings, which a recipe adds to.

    Raises:
        CaptureError: ``base`` cannot be.
    """

    def __init__(
        self, make: Callable[[Mapping[str, Feature]], Camera], base: Mapping[str, Feature]
    ) -> None:
        self._make = make
        self._base = dict(base)
        self._features = self._base
        self._inner = make(self._base)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def open(self) -> None:
        async with self._turn:
            await self._inner.open()

    async def capture(self, trigger: Trigger) -> Picture:
        async with self._turn:
            inner = self._inner
        return await inner.capture(trigger)

    async def close(self) -> None:
        await self._inner.close()

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """As ``Adjustable``; with the features that it has nothing is done."""
        async with self._turn:
            wanted = {**self._base, **features}
            if list(wanted.items()) == list(self._features.items()):
                return
            made, before = self._make(wanted), self._inner
            await before.close()
            self._inner = made
            self._changed.set()
            self._changed = asyncio.Event()
            try:
                await made.open()
            except BaseException as error:
                self._inner = before
                with contextlib.suppress(CaptureError):
                    await made.close()
                if isinstance(error, CaptureError):
                    await _reopened(before, error)
                raise
            self._features = wanted

    async def lost(self) -> str:
        """As the camera of the features of now finds out; one that was closed for others is none
        that is lost, also where it was opened again because they were refused."""
        while True:
            inner, changed = self._inner, self._changed
            if isinstance(inner, Loses):
                why = await inner.lost()
            else:
                await changed.wait()
                why = ""
            async with self._turn:
                if changed is self._changed and why:
                    return why


async def _reopened(camera: Camera, refused: CaptureError) -> None:
    try:
        await camera.open()
    except CaptureError as error:
        raise CameraLostError(f"{refused}; opening it as before: {error}") from None
