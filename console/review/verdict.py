"""What a reviewer says of a part: checked against the policy that judged it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from history.errors import BadQueryError
from policies.model import RESERVED_CLASSES, PolicyDocument, class_ids
from streams.codes import Severity
from streams.events import Region
from streams.inspections import MASK_CELLS
from streams.regions import region_from_mask

CLASS_KEYS: Final = "123456789qtyipafjklv"
"""The keys of the classes in the order of their numbers, none of which does anything else."""
_MOST_RUNS: Final = 200_000


class AskedBody(BaseModel):
    """Base of what is sent to the console: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PaintedMask(AskedBody):
    """Where the defect is, painted on the picture: COCO's uncompressed run-length encoding."""

    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    """Of the mask; it may be coarser than the picture."""
    image_height: Annotated[int, Field(ge=1, le=1 << 20)]
    image_width: Annotated[int, Field(ge=1, le=1 << 20)]
    """Of the picture in pixels."""
    counts: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=_MOST_RUNS)]
    """Lengths of the runs down each column, left to right; the first is outside."""


class ReviewVerdict(AskedBody):
    """What a person says that a part is."""

    frame_id: UUID
    """The part."""
    severity: Severity | None = None
    """Needed without a class; otherwise that of the class, if nothing is said."""
    class_name: Annotated[str, Field(max_length=200)] = ""
    """One of the policy that judged the part."""
    comment: Annotated[str, Field(max_length=4096)] = ""
    painted: PaintedMask | None = None
    painted_on: UUID | None = None
    """The photograph of the part that was painted on; the part's first without."""


@dataclass(frozen=True)
class ReviewClass:
    """One class that a verdict may name."""

    name: str
    title: str
    severity: Severity
    key: str
    """The key that says it; empty beyond the last."""
    about: str = ""


def classes_of(body: Mapping[str, object]) -> tuple[ReviewClass, ...]:
    """The classes of a policy in the order of their numbers; none where it cannot be read."""
    try:
        document = PolicyDocument.model_validate(body)
    except ValidationError:
        return ()
    ids = class_ids(document)
    ordered = sorted(document.classes.items(), key=lambda item: ids[item[0]])
    return tuple(
        ReviewClass(
            name,
            one.display_name or name,
            Severity(one.severity),
            CLASS_KEYS[place] if place < len(CLASS_KEYS) else "",
            one.description,
        )
        for place, (name, one) in enumerate(ordered)
    )


def severity_of(verdict: ReviewVerdict, classes: tuple[ReviewClass, ...]) -> Severity:
    """The severity that a verdict means.

    Raises:
        BadQueryError: a class that the policy does not have, or nothing that says a severity.
    """
    if not verdict.class_name:
        if verdict.severity is None:
            raise BadQueryError("a verdict needs a class or a severity")
        return verdict.severity
    found = next((one for one in classes if one.name == verdict.class_name), None)
    if found is None:
        known = ", ".join(one.name for one in classes) or "none"
        raise BadQueryError(
            f"class {verdict.class_name!r} is not of the policy that judged the part; it has "
            f"{known}, and {', '.join(RESERVED_CLASSES)} are said by the severity alone"
        )
    severity = verdict.severity or found.severity
    if severity in (Severity.NORMAL, Severity.UNKNOWN) and severity is not found.severity:
        raise BadQueryError(f"a part of class {found.name!r} is not {severity.value}")
    return severity


def painted_region(painted: PaintedMask) -> Region | None:
    """The region behind a painted mask, as it travels; None where nothing is painted.

    Takes milliseconds for a large mask: call it off the event loop.

    >>> three = PaintedMask(height=2, width=3, image_height=20, image_width=30, counts=(2, 1, 1, 2))
    >>> painted_region(three).mask_rle
    '2111'

    Raises:
        BadQueryError: the runs do not fill the mask, or it is larger than any that is read.
    """
    cells = painted.height * painted.width
    runs = np.array(painted.counts, dtype=np.int64)
    if cells > MASK_CELLS or int(runs.sum()) != cells:
        raise BadQueryError(
            f"the runs of the painted mask fill {int(runs.sum())} cells of {cells}; at most "
            f"{MASK_CELLS} are read"
        )
    inside = np.arange(runs.size) % 2 == 1
    mask = np.repeat(inside, runs).reshape(painted.width, painted.height).T
    if not mask.any():
        return None
    return region_from_mask(mask, painted.image_height, painted.image_width)
