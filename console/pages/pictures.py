"""Pictures at the size that a page shows; they come from the object store and need no database."""

from collections import OrderedDict
from enum import StrEnum
from typing import Final
from uuid import UUID

from fastapi import FastAPI, HTTPException, Response
from fastapi.concurrency import run_in_threadpool

from console.api import PICTURE_HEADERS, picture_answer
from console.parts import ConsoleParts
from console.rendering import Renderer
from console.shrinking import shrunk
from streams.errors import UndecodableImageError
from streams.ids import image_key

_REMEMBERED: Final = 400
"""Small pictures held in memory, some 10 KB each."""


class PictureSize(StrEnum):
    """How large a picture is shown."""

    SMALL = "small"
    """Beside its part in a list."""
    LARGE = "large"
    """As the page's largest thing."""
    FULL = "full"
    """As captured."""


_LONGEST_PX: Final = {PictureSize.SMALL: 240, PictureSize.LARGE: 1600}


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route of pictures."""
    small: OrderedDict[UUID, bytes] = OrderedDict()

    @app.get("/pictures/{frame_id}/{size}", include_in_schema=False)
    async def picture(frame_id: UUID, size: PictureSize) -> Response:
        """The picture of a frame; no content where none is kept, which a browser reports as no
        failure, and the page says so in words."""
        if size is PictureSize.SMALL and frame_id in small:
            return Response(small[frame_id], media_type="image/jpeg", headers=PICTURE_HEADERS)
        try:
            body = await parts.store.get(image_key(frame_id))
        except KeyError:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        if size is PictureSize.FULL:
            return picture_answer(body)
        try:
            made = await run_in_threadpool(shrunk, body, _LONGEST_PX[size])
        except UndecodableImageError as error:
            raise HTTPException(415, str(error)) from None
        if size is PictureSize.SMALL:
            small[frame_id] = made
            while len(small) > _REMEMBERED:
                small.popitem(last=False)
        return picture_answer(made)
