"""What the simulated line plays: one part per row."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.errors import AndonError

Row = TypeVar("Row", bound=BaseModel)


class PlcFileError(AndonError):
    """A plan or a ledger cannot be read; the message names file and line."""


class PlannedPart(BaseModel):
    """One part that will arrive."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    part_id: str
    product_id: str
    lot_id: str = ""
    recipe: int = 0
    """The recipe that must be in force before it comes; 0: whichever is."""


def generate_plan(parts: int, product_id: str) -> list[PlannedPart]:
    """``parts`` parts of one product with running serials.

    >>> [part.part_id for part in generate_plan(2, "tile")]
    ['tile-000001', 'tile-000002']
    """
    names = (f"{product_id}-{number:06d}" for number in range(1, parts + 1))
    return [PlannedPart(part_id=n, product_id=product_id, lot_id="lot-1") for n in names]


def read_rows(path: Path, model: type[Row], torn_end: bool = False) -> list[Row]:
    """The rows of a file of JSON lines.

    Args:
        torn_end: a last line that cannot be read was being written, and is passed over.

    Raises:
        PlcFileError: the file is absent, or a row is not readable.
    """
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PlcFileError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            rows += [model.model_validate_json(line)] if line.strip() else []
        except ValidationError as error:
            if torn_end and number == len(lines):
                break
            raise PlcFileError(
                f"{path}:{number}: {error.errors()[0]['msg']}; expected one JSON object per line "
                f"with {', '.join(model.model_fields)}"
            ) from error
    return rows
