"""What reviews will teach, as the learning code says it: the console asks, ``andon`` answers."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from history.records import Record
from streams.codes import Severity


class Teaches(StrEnum):
    """What becomes of one verdict when the expert learns."""

    EXEMPLAR = "exemplar"
    """The picture becomes an example of its class."""
    SPARE = "spare"
    """Enough newer parts of the class teach already: the picture is not drawn."""
    NORMAL = "normal"
    """Nothing may point at such a part again: a hard normal."""
    NOTHING = "nothing"
    """No class and not normal: it counts in the rates, and teaches nothing."""


class LessonAhead(Record):
    """What one verdict will teach."""

    teaches: Teaches
    class_name: str = ""
    drawn: int = 0
    """Photographs of the class, or normals, that teach with it."""
    most: int = 0
    """Photographs of a class that reviews may add."""
    is_painted: bool = False
    """A person painted where the defect is; else the expert's outline teaches."""


class ProductLessons(Record):
    """What the reviews of a product teach by now."""

    product_id: str
    classes: Mapping[str, int] = {}
    """Photographs by class that would be drawn."""
    normals: int = 0
    most: int = 0


class SaidOfPart(Record):
    """A verdict as the learning code looks at it."""

    frame_id: UUID
    product_id: str
    part_id: str
    captured_at: datetime
    severity: Severity
    class_name: str
    is_painted: bool = False


class LessonsAhead(Protocol):
    """Says what will be learned; each raises ``UnavailableError`` when the database is down."""

    async def of_product(self, product_id: str) -> ProductLessons: ...
    async def of_verdict(self, judged: SaidOfPart) -> LessonAhead: ...
    def forget(self, judged: SaidOfPart) -> None:
        """The verdict was taken back."""
        ...
