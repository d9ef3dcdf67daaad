"""What the database knows about pictures that may be removed, and a serial number forgotten."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, Select, Table, Text, Uuid, bindparam, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from history.console_audit import Deed, has_deed, write_deed
from history.database import DatabaseClient, connected
from history.errors import BadQueryError
from history.facts import FACTS, SHOTS
from history.records import Record
from history.retention.rules import PartTrace
from history.tables import METADATA, TOPIC_TABLES
from streams.failures import TransientError
from streams.ids import frame_key, image_key, mask_key

_TRACES: Final = text(
    "SELECT f.frame_id, p.action, p.review_severity IS NOT NULL OR p.part_frame_id IS NULL "
    "AND EXISTS (SELECT FROM standing_review r WHERE r.frame_id = ANY (part_frames(f.part))) "
    "AS is_reviewed, coalesce("
    "(SELECT min(a.recorded_at) FROM anomaly a WHERE a.frame_id = f.frame_id), "
    "(SELECT min(d.recorded_at) FROM decision d WHERE d.frame_id = f.frame_id)) AS recorded_at "
    "FROM (SELECT u.frame_id, coalesce(s.part_frame_id, u.frame_id) AS part "
    "FROM unnest(:frames) AS u(frame_id) LEFT JOIN shot AS s ON s.frame_id = u.frame_id) AS f "
    "LEFT JOIN part_fact AS p ON p.part_frame_id = f.part"
).bindparams(bindparam("frames", type_=ARRAY(Uuid)))
"""Reviews stay when the rows of their month are dropped, and the facts with them."""
_ANOMALY: Final = METADATA.tables["anomaly"]
_LOCK_WAIT_MS: Final = 5000
_OF_PARTS: Final = tuple(
    name for name in TOPIC_TABLES if "part_id" in METADATA.tables[name].columns
)
_PICTURES: Final = frozenset({"image_key", "mask_key"})


class ErasedPart(Record):
    """What was forgotten of a serial number."""

    name: str
    """What its parts are called now: a random name, which leads back to nothing."""
    parts: int
    rows: dict[str, int]
    """Rows of each table in which it stood."""


class RetentionStore(DatabaseClient):
    """Questions of retention, and the one change that is made to recorded events."""

    role = "retain"

    async def traces(self, frames: Sequence[UUID]) -> list[PartTrace]:
        """Of each frame what became of its part. Raises ``UnavailableError``."""
        async with connected(self._engine, self._timeout_s, "asking for decided parts") as link:
            found = (await link.execute(_TRACES, {"frames": list(frames)})).mappings()
            return [PartTrace.model_validate(dict(row)) for row in found]

    async def pictures(self, part_id: str) -> list[str]:
        """The keys under which objects of the parts of a serial number may be.

        A picture may have no fact that leads to it: its decision was set aside, or it was recorded
        after its number had been erased.
        """
        alone = select(_ANOMALY.c.frame_id).where(_ANOMALY.c.part_id == part_id)
        async with connected(self._engine, self._timeout_s, "looking for the parts") as link:
            frames = {*await _frames(link, part_id), *(await link.execute(alone)).scalars()}
        return [key(frame) for frame in sorted(frames) for key in (image_key, mask_key, frame_key)]

    async def erase(self, part_id: str, deed: Deed) -> ErasedPart:
        """Put a random name in place of a serial number wherever it stands, and no picture in place
        of those that were removed, in one transaction.

        Inserts wait meanwhile, a few milliseconds for the rows of some parts.

        Args:
            part_id: the serial number, as the controller gave it.
            deed: who does so and why; its ``object`` becomes the new name.

        A connection that is lost at its COMMIT leaves open whether the database had it; then it is
        asked.

        Raises:
            BadQueryError: an empty serial number, which many parts may have.
            UnavailableError: the database does not answer, a lock was not had in time, or the
                role does not own the tables. Nothing is changed, unless it says so.
        """
        name = f"erased-{uuid4().hex[:16]}"
        done: ErasedPart | None = None
        try:
            async with self._alone("erasing a serial number") as link:
                done = await _erase(link, part_id, name, deed)
        except TransientError as error:
            if done is None or not await self._is_erased(name, error):
                raise
        assert done is not None
        return done

    async def _is_erased(self, name: str, lost: TransientError) -> bool:
        """Whether the transaction that gave a name is committed; it is over when this returns.

        Raises:
            TransientError: that cannot be asked either.
        """
        try:
            async with self._alone("asking whether a serial number is erased") as link:
                return await has_deed(link, "history.erase", name)
        except TransientError as error:
            said = (
                f"{lost}. Whether it was done is not known: it was if the audit has history.erase "
                f"of {name}, and a repetition then finds nobody of that number"
            )
            raise TransientError(error.cause, said) from error

    @asynccontextmanager
    async def _alone(self, doing: str) -> AsyncIterator[AsyncConnection]:
        async with connected(self._engine, self._timeout_s, doing) as link:
            await link.execute(text(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}"))
            yield link


async def _erase(link: AsyncConnection, part_id: str, name: str, deed: Deed) -> ErasedPart:
    parts = len(await _frames(link, part_id, of_shots=False))
    rows = {table: await _rename(link, table, part_id, name) for table in TOPIC_TABLES}
    await link.execute(FACTS.update().where(FACTS.c.part_id == part_id).values(part_id=name))
    await write_deed(link, deed.model_copy(update={"object": name}))
    return ErasedPart(name=name, parts=parts, rows={t: n for t, n in rows.items() if n})


async def _frames(link: AsyncConnection, part_id: str, of_shots: bool = True) -> list[UUID]:
    if not part_id:
        raise BadQueryError("no serial number is given: nothing is forgotten of all without one")
    parts = select(FACTS.c.part_frame_id).where(FACTS.c.part_id == part_id)
    found = list((await link.execute(parts)).scalars())
    if of_shots:
        shots = select(SHOTS.c.frame_id).where(SHOTS.c.part_frame_id.in_(found))
        found += (await link.execute(shots)).scalars()
    return found


async def _rename(link: AsyncConnection, name: str, part_id: str, to: str) -> int:
    """Rows of a table are never changed; the owner says so for this transaction."""
    table = METADATA.tables[name]
    keys = [column.name for column in table.primary_key.columns]
    columns = [table.c[key] for key in (*keys, "event")]
    wanted: Select[tuple[object, ...]] = select(*columns)
    if name in _OF_PARTS:
        wanted = wanted.where(table.c.part_id == part_id)
    else:
        wanted = wanted.where(func.strpos(cast(table.c.event, Text), part_id) > 0)
    found = (await link.execute(wanted)).mappings().all()
    changed = [(row, renamed(row["event"], part_id, to)) for row in found]
    if name not in _OF_PARTS:
        changed = [(row, event) for row, event in changed if event != row["event"]]
    if not changed:
        return 0
    await link.exec_driver_sql(f"ALTER TABLE {name} DISABLE TRIGGER insert_only")
    for row, event in changed:
        await _write(link, table, {key: row[key] for key in keys}, event, to)
    await link.exec_driver_sql(f"ALTER TABLE {name} ENABLE TRIGGER insert_only")
    return len(changed)


async def _write(
    link: AsyncConnection, table: Table, key: Mapping[str, object], event: object, to: str
) -> None:
    values: dict[str, object] = {"event": event}
    values |= {"part_id": to} if table.name in _OF_PARTS else {}
    values |= dict.fromkeys(_PICTURES & {*table.c.keys()})
    change = table.update().values(**values)
    for column, value in key.items():
        change = change.where(table.c[column] == value)
    await link.execute(change)


def renamed(event: object, old: str, new: str) -> object:
    """The event with a serial number replaced wherever it is a whole value.

    >>> renamed({"part_id": "A7", "parts": ["A7", "A70"], "n": 7}, "A7", "x")
    {'part_id': 'x', 'parts': ['x', 'A70'], 'n': 7}
    """
    if isinstance(event, str):
        return new if event == old else event
    if isinstance(event, dict):
        return {key: renamed(value, old, new) for key, value in event.items()}
    if isinstance(event, list):
        return [renamed(value, old, new) for value in event]
    return event
