"""What the simulated line plays: one part per row."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.errors import PlanError


@dataclass(frozen=True)
class PlannedPart:
    """One part that will arrive."""

    part_id: str
    product_id: str
    lot_id: str = ""


def generate_plan(parts: int, product_id: str, lot_id: str = "lot-1") -> list[PlannedPart]:
    """``parts`` parts of one product with running serials."""
    return [PlannedPart(f"{product_id}-{n:06d}", product_id, lot_id) for n in range(1, parts + 1)]


def read_plan(path: Path) -> list[PlannedPart]:
    """A JSON-lines plan: ``part_id``, ``product_id`` and, if wanted, ``lot_id`` per row.

    Raises:
        PlanError: the file is absent, or a row is not readable; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read: {error}") from error
    return list(_rows(path, lines))


def _rows(path: Path, lines: list[str]) -> Iterator[PlannedPart]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield PlannedPart(
                str(row["part_id"]), str(row["product_id"]), str(row.get("lot_id", ""))
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(
                f"{path}:{number}: {type(error).__name__} {error}; expected one object with "
                '"part_id", "product_id" and optionally "lot_id" per line'
            ) from error
