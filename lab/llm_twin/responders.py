"""What the twin answers: from a manifest of picture digests, or from the pictures themselves."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from lab.llm_twin.validation import ChatRequest, Image

UNKNOWN: Final = "unknown"
RED_LEAST: Final = (181, 0, 0)
RED_MOST: Final = (255, 89, 89)
NOTHING: Final = (0, 0, 0)
SLIGHT: Final = (40, 40, 40)
"""Differences up to this are noise of the encoding."""


@dataclass(frozen=True)
class Opinion:
    """What the twin believes: probabilities over the choices, summing to at most 1."""

    choice: str
    probabilities: Mapping[str, float]


class Responder(Protocol):
    """Chooses one of ``request.choices``."""

    def respond(self, request: ChatRequest) -> Opinion:
        """Deterministic: the same request gets the same opinion."""
        ...


@dataclass(frozen=True)
class ManifestResponder:
    """Right with a probability, by a manifest that only tests see.

    ``truth`` maps a picture's digest (``validation.picture_digest``) to the right choice; any
    picture of the request may be the one listed. Whether it is right, what it says instead and how
    sure it sounds derive from seed and digest alone. Confidence and correctness are related as in
    a usefully calibrated model: right answers draw from Beta(6, 1.2), wrong ones from Beta(2.5, 2).
    """

    truth: Mapping[str, str]
    accuracy: float = 0.85
    seed: int = 0

    def respond(self, request: ChatRequest) -> Opinion:
        """The right choice with probability ``accuracy``; ``unknown`` for pictures not listed."""
        choices = request.choices
        digest = next((p.digest for p in request.pictures if p.digest in self.truth), None)
        if digest is None:
            choice = UNKNOWN if UNKNOWN in choices else choices[0]
            return Opinion(choice, {choice: 0.5})
        mixed = hashlib.sha256(f"{self.seed}/{digest}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(mixed[:8], "big"))
        right = self.truth[digest]
        is_right = rng.random() < self.accuracy
        sure = float(rng.beta(6, 1.2) if is_right else rng.beta(2.5, 2))
        others = [c for c in choices if c not in (right, UNKNOWN)] or list(choices)
        choice = right if is_right else str(rng.choice(others))
        sure = max(sure, 1.05 / max(len(choices), 2))
        rest = [c for c in choices if c != choice]
        return Opinion(choice, {choice: sure} | dict.fromkeys(rest, (1 - sure) / max(len(rest), 1)))


class HeuristicResponder:
    """Looks at the red contour and the query, and chooses by simple words of the descriptions.

    It measures the outlined region (share of the picture, elongation, darkness against its
    surroundings) and scores each class by how many of its words fit. It is a stand-in for demos
    and load, not a model: it knows no product.
    """

    def respond(self, request: ChatRequest) -> Opinion:
        """The class whose words fit best; the first class when the region cannot be found."""
        choices = request.choices or (UNKNOWN,)
        traits = region_traits([p.pixels for p in request.pictures])
        named = [c for c in choices if c not in ("normal", UNKNOWN)] or list(choices)
        if traits is None:
            choice = UNKNOWN if UNKNOWN in choices else named[0]
            return Opinion(choice, {choice: 0.4})
        scores = np.array([_score(traits, _words(c, request.text)) for c in named])
        weights = np.exp(scores - scores.max())
        shares = weights / weights.sum()
        best = int(np.argmax(scores))
        return Opinion(named[best], dict(zip(named, map(float, shares), strict=True)))


@dataclass(frozen=True)
class Traits:
    """What the outlined region looks like."""

    share: float
    """The region's share of the picture's area, 0 to 1."""
    elongation: float
    """Longer over shorter side of the smallest rectangle around it."""
    darkness: float
    """Mean grey outside minus inside, -1 to 1: positive is darker than the surroundings."""
    touches_edge: bool


def region_traits(pictures: Sequence[Image]) -> Traits | None:
    """Measure the region outlined in red; None when no two pictures differ by a red contour."""
    import cv2

    for before, after in pairwise(pictures):
        if before.shape != after.shape:
            continue
        red = cv2.inRange(after, RED_LEAST, RED_MOST)
        if cv2.countNonZero(red) < 8:
            continue
        changed = cv2.bitwise_not(cv2.inRange(cv2.absdiff(before, after), NOTHING, SLIGHT))
        line = cv2.bitwise_and(changed, red)
        drawn = cv2.countNonZero(line)
        if drawn < 8 or cv2.countNonZero(changed) - drawn > drawn:
            continue
        contours, _ = cv2.findContours(line, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        region = np.zeros(line.shape, np.uint8)
        cv2.drawContours(region, contours, -1, 255, cv2.FILLED)
        return _measure(before, region, line, np.concatenate(contours))
    return None


def _measure(query: Image, region: Image, line: Image, corners: npt.NDArray[np.int32]) -> Traits:
    """Masks are 0 or 255; ``corners`` are the points of the region's contours."""
    import cv2

    area = cv2.countNonZero(region)
    within = cv2.bitwise_and(region, cv2.bitwise_not(line))
    inside = within if cv2.countNonZero(within) else region
    outside = cv2.bitwise_not(region) if area < region.size else region
    _, sides, _ = cv2.minAreaRect(corners)
    elongation = (max(sides) + 1) / (min(sides) + 1)
    edge = region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any()
    darkness = sum(cv2.mean(query, outside)[:3]) - sum(cv2.mean(query, inside)[:3])
    return Traits(area / region.size, float(elongation), darkness / (3 * 255), bool(edge))


_TRAIT_WORDS: Final = {
    "long": "line linear long thin elongated narrow slit strip streak fissure hairline",
    "compact": "round spot dot pore circular blob point compact spherical",
    "large": "large whole entire substantial wide area areas broad gradual extended",
    "small": "small tiny minor isolated speck fine little local",
    "dark": "dark darker black shadow deep void blackened",
    "bright": "bright brighter white whitish light shiny reflective glossy",
    "edge": "edge edges border rim corner tip side margin outermost",
}
_VOCABULARY: Final = {trait: frozenset(words.split()) for trait, words in _TRAIT_WORDS.items()}


def _score(traits: Traits, words: frozenset[str]) -> float:
    """How well a description's words fit the region; 0 when it says nothing measurable."""
    weights = {
        "long": np.clip((traits.elongation - 2.0) / 2.0, -1, 1),
        "compact": np.clip((2.0 - traits.elongation), -1, 1),
        "large": np.clip((traits.share - 0.10) / 0.10, -1, 1),
        "small": np.clip((0.03 - traits.share) / 0.03, -1, 1),
        "dark": np.clip(traits.darkness * 5, -1, 1),
        "bright": np.clip(-traits.darkness * 5, -1, 1),
        "edge": 0.5 if traits.touches_edge else -0.5,
    }
    return float(sum(w * min(len(words & _VOCABULARY[k]), 2) for k, w in weights.items()))


def _words(choice: str, text: str) -> frozenset[str]:
    """Words of a class's name and of the line of the prompt that describes it."""
    quoted = re.escape(choice.replace("\\", "\\\\").replace('"', '\\"'))
    found = re.search(rf'^- "{quoted}"(.*)$', text, re.MULTILINE)
    line = choice + " " + (found.group(1) if found else "")
    return frozenset(re.findall(r"[a-z]+", line.casefold()))
