"""What a shift leaves to the next one: notes that are only added, and what was counted then."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, true
from sqlalchemy.dialects.postgresql import insert

from history.console_audit import Deed, write_deed
from history.console_tables import HANDOVERS
from history.database import DatabaseClient, connected
from history.records import Record
from history.text import clean


class ShiftNote(Record):
    """One note of a line's shift."""

    note_id: UUID
    at: datetime
    line: str
    shift: str
    """The shift in which it was written."""
    author: str
    note: str
    counted: Mapping[str, int]
    """Parts of the shift until then: ``total``, ``missed``, and each action."""


class Handovers(DatabaseClient):
    """The notes in PostgreSQL. Every method raises ``UnavailableError`` when it is down."""

    role = "handovers"

    async def add(self, note: ShiftNote, deed: Deed) -> None:
        """Write a note, and that it was written; nothing where it is there already."""
        values = {**note.model_dump(), "note": clean(note.note), "line": clean(note.line)}
        async with connected(self._engine, self._timeout_s, "writing a note") as link:
            new = insert(HANDOVERS).values(values).on_conflict_do_nothing()
            if (await link.execute(new)).rowcount:
                await write_deed(link, deed)

    async def latest(self, of_each: int = 5) -> list[ShiftNote]:
        """The newest notes of each line, newest first."""
        lines = select(HANDOVERS.c.line).distinct().subquery()
        of_line = (
            select(HANDOVERS)
            .where(HANDOVERS.c.line == lines.c.line)
            .order_by(HANDOVERS.c.at.desc())
            .limit(of_each)
            .lateral()
        )
        query = select(of_line).select_from(lines.join(of_line, true()))
        async with connected(self._engine, self._timeout_s, "reading the notes") as link:
            rows = (await link.execute(query.order_by(of_line.c.at.desc()))).mappings()
            return [ShiftNote.model_validate(dict(row)) for row in rows]
