"""Makes the pictures of a question fit what an endpoint takes: smaller, or as JPEG."""

import base64
from dataclasses import replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from serving.naming.calls import Question
from serving.naming.manners import Manners
from serving.naming.settings import VisualSettings
from serving.naming.visual import encode

JPEG: Final = "data:image/jpeg"


def fitted(question: Question, manners: Manners) -> Question:
    """The question with pictures that fit; the question itself where they do already."""
    if not manners.refits:
        return question
    urls = tuple(_fitted(url, manners.jpeg, manners.side_most_px) for url in question.image_urls)
    return replace(question, image_urls=urls)


def longest_side_px(question: Question) -> int:
    """The longest side of any picture of a question, pixels; 0 without pictures."""
    return max((max(_pixels(url).shape[:2]) for url in question.image_urls), default=0)


def _pixels(url: str) -> npt.NDArray[np.uint8]:
    data = base64.b64decode(url.partition(",")[2])
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), dtype=np.uint8)


@lru_cache(maxsize=8)
def _fitted(url: str, jpeg: bool, side_px: int | None) -> str:
    """One picture; the same reference comes with every question and is fitted once."""
    pixels = _pixels(url)
    height, width = pixels.shape[:2]
    scale = min(1.0, (side_px or max(height, width)) / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    as_jpeg = jpeg or url.startswith(JPEG)
    form = VisualSettings(encoding="jpeg" if as_jpeg else "png")
    data = base64.b64encode(encode(np.asarray(pixels, dtype=np.uint8), form)).decode()
    return f"{JPEG if as_jpeg else 'data:image/png'};base64,{data}"
