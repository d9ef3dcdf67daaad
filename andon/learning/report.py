"""The report of a candidate: what would have changed, part by part, with pictures."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from jinja2 import Environment, PackageLoader, select_autoescape

from andon.learning.rehearsal import TestedCandidate
from andon.learning.suspects import SuspectLabel
from serving.experts.images import decode_image
from serving.experts.pictures import outlined
from serving.experts.types import Image
from serving.naming.exemplars import Exemplar
from serving.naming.features import whole

WIDTH = 320
"""Pictures are at most so wide, pixels."""
MOST_CARDS = 60
"""Parts that are shown of one kind, the largest changes first."""


@dataclass(frozen=True)
class PartCard:
    """One part of the report."""

    frame: str
    part: str
    said: str
    action: str
    before: str
    after: str
    score_before: float
    score_after: float


@dataclass(frozen=True)
class DoubtfulCard:
    """An exemplar that disagrees with its class, beside the one that it is most like."""

    name: str
    nearest_name: str
    suspect: SuspectLabel
    picture: str
    nearest: str


def write_learning_report(
    path: Path, product: str, words: Sequence[str], found: TestedCandidate, frames: dict[str, str]
) -> None:
    """Write the report as one HTML file.

    Args:
        words: what to say of the candidate, in sentences.
        frames: what to call an exemplar, by the SHA-256 of its picture: its frame id.
    """
    environment = Environment(
        loader=PackageLoader("andon.learning", "."), autoescape=select_autoescape(default=True)
    )
    body = environment.get_template("report.html.j2").render(
        product=product,
        words=words,
        shares=found.shares,
        by_class=found.by_class,
        sections=_sections(found),
        suspects=[_suspect(s, found.candidate.bundle.exemplars, frames) for s in found.suspects],
    )
    path.write_text(body, encoding="utf-8")


def _sections(found: TestedCandidate) -> list[tuple[str, int, list[PartCard]]]:
    verdicts = list(enumerate(found.verdicts))
    kinds = {
        "Escapes that it would have stopped": [i for i, v in verdicts if v.class_name and v.gained],
        "Defects that it would have let pass": [
            i for i, v in verdicts if v.class_name and v.changed and not v.gained
        ],
        "Good parts that it would have stopped": [
            i for i, v in verdicts if not v.class_name and v.changed and not v.gained
        ],
        "False alarms that it would have spared": [
            i for i, v in verdicts if not v.class_name and v.gained
        ],
        "Escapes that remain": [
            i for i, v in verdicts if v.class_name and not v.odd_before and not v.odd_after
        ],
    }
    made = []
    for title, places in kinds.items():
        ranked = sorted(places, key=lambda i: -_change(found, i))
        if ranked:
            made.append((title, len(ranked), [_card(found, i) for i in ranked[:MOST_CARDS]]))
    return made


def _change(found: TestedCandidate, index: int) -> float:
    verdict = found.verdicts[index]
    return abs(verdict.score_after - verdict.score_before)


def _card(found: TestedCandidate, index: int) -> PartCard:
    verdict, picture = found.verdicts[index], found.pictures[index]
    image = decode_image(picture.image)
    before, after = found.scored[index]
    return PartCard(
        frame=verdict.frame,
        part=verdict.part,
        said=verdict.class_name or "normal",
        action=picture.action,
        before=_url(outlined(image, before)),
        after=_url(outlined(image, after)),
        score_before=verdict.score_before,
        score_after=verdict.score_after,
    )


def _suspect(
    suspect: SuspectLabel, exemplars: Sequence[Exemplar], frames: dict[str, str]
) -> DoubtfulCard:
    own, other = exemplars[suspect.index], exemplars[suspect.nearest]
    return DoubtfulCard(
        frames.get(own.sha256, own.part or own.sha256[:12]),
        frames.get(other.sha256, other.part or other.sha256[:12]),
        suspect,
        _url(_marked(own)),
        _url(_marked(other)),
    )


def _marked(exemplar: Exemplar) -> Image:
    from serving.naming.visual import outlined as with_mask

    image = decode_image(exemplar.image)
    mask = exemplar.mask if not exemplar.mask.all() else ~whole(image)
    size = (image.shape[1], image.shape[0])
    return with_mask(image, cv2.resize(mask.astype("uint8"), size) > 0, 2)


def _url(picture: Image) -> str:
    factor = min(1.0, WIDTH / picture.shape[1])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, body = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(body.tobytes()).decode("ascii")
