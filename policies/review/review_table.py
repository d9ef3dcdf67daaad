"""Reviewed answers as a table from elsewhere: CSV with a heading, or a JSON list of objects."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.errors import PolicyError
from streams.codes import Severity
from streams.tables import TableError, read_table, read_text


class ReviewedRow(BaseModel):
    """One reviewed answer; columns of other names are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
    answer: str = Field(min_length=1)
    """The class that the classifier named."""
    confidence: float = Field(1.0, ge=0.0, le=1.0)
    truth: str = Field("", alias="class")
    """The class that a person found; may be left out where the severity is given."""
    severity: Severity | None = None
    """What a person found it to be; that of the class in the policy when left out."""
    expert_version: str = ""
    classifier: str = ""
    model: str = ""
    prompt_hash: str = ""
    exemplars_version: str = ""


def read_review_table(path: Path) -> list[ReviewedRow]:
    """The rows in their order.

    Raises:
        PolicyError: not such a file; names the row and what is wrong with it.
    """
    try:
        if path.suffix.lower() == ".csv":
            table = read_table(path, "answer")
            return [
                _row(table.at(row), {name: value for name, value in row.values.items() if value})
                for row in table.rows
            ]
        rows = _json_rows(path, read_text(path)[0])
    except TableError as error:
        raise PolicyError(str(error)) from None
    return [_row(f"{path}: row {number}", row) for number, row in enumerate(rows, 1)]


def _json_rows(path: Path, text: str) -> list[Mapping[str, object]]:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise PolicyError(f"{path}: not JSON: {error}") from None
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise PolicyError(f"{path}: expected a JSON list of objects, one for each reviewed answer")
    return body


def _row(at: str, row: Mapping[str, object]) -> ReviewedRow:
    try:
        found = ReviewedRow.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise PolicyError(f"{at}: {where}: {first['msg']}") from None
    if not found.truth and found.severity is None:
        raise PolicyError(f"{at}: neither `class` nor `severity` says what a person found")
    return found
