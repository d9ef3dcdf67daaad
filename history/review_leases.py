"""Which part is whose while it is reviewed, so that nobody is given what somebody else looks at.

In PostgreSQL, so that every console knows, and one that is started again. Each call is one short
transaction; a lease is a row with an end, and not a lock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, union
from sqlalchemy.dialects.postgresql import insert

from history.console_tables import REVIEW_LEASES, REVIEWED_JUST_NOW
from history.database import DatabaseClient, connected
from history.review_queue import WaitingFor

LEASE_S: Final = 300.0
"""How long a part is one person's."""
MOST_OF_ONE: Final = 32
"""Parts that one person has at once; beyond it the one taken first is free again."""
_FORGOTTEN: Final = timedelta(days=1)
"""How long after its end a row is kept: a verdict that took long still counts."""
_CHOSEN: Final = ""
"""Why a part was given that the reviewer chose."""


@dataclass(frozen=True)
class Lease:
    """A part that somebody reviews."""

    part: UUID
    who: str
    waits_for: WaitingFor | None
    """Why it was given; None where the reviewer chose it."""

    @property
    def is_blind(self) -> bool:
        """Whether the reviewer was shown no verdict."""
        return self.waits_for is not None and self.waits_for.is_blind


class ReviewLeases(DatabaseClient):
    """Who has what, and what was judged a moment ago. Raises ``UnavailableError`` when it is down.

    Args:
        url: SQLAlchemy URL with the asyncpg driver.
        timeout_s: seconds for one call.
        lease_s: how long a part is one person's.
    """

    role = "review-leases"

    def __init__(self, url: str, timeout_s: float = 10.0, lease_s: float = LEASE_S) -> None:
        super().__init__(url, timeout_s=timeout_s)
        self._lasts = timedelta(seconds=lease_s)

    async def take(
        self, parts: Iterable[UUID], who: str, waits_for: WaitingFor | None
    ) -> set[UUID]:
        """Have those of the parts that are nobody else's; returns them."""
        held = REVIEW_LEASES.c
        why, until = waits_for.value if waits_for else _CHOSEN, func.now() + self._lasts
        rows = [
            {"part_frame_id": part, "reviewer": who, "waits_for": why, "ends_at": until}
            for part in sorted(
                set(parts)
            )  # always in one order: two consoles do not wait in a ring
        ]
        if not rows:
            return set()
        new = insert(REVIEW_LEASES).values(rows)
        changed = {
            name: new.excluded[name] for name in ("reviewer", "waits_for", "taken_at", "ends_at")
        }
        is_free = or_(held.reviewer == new.excluded.reviewer, held.ends_at <= func.now())
        had = new.on_conflict_do_update(
            index_elements=[held.part_frame_id], set_=changed, where=is_free
        ).returning(held.part_frame_id)
        own = select(held.part_frame_id).where(held.reviewer == who)
        surplus = own.order_by(held.taken_at.desc()).offset(MOST_OF_ONE)
        async with connected(self._engine, self._timeout_s, "taking parts to review") as link:
            taken = set((await link.execute(had)).scalars())
            await link.execute(
                delete(REVIEW_LEASES).where(
                    held.reviewer == who, held.part_frame_id.in_(surplus.scalar_subquery())
                )
            )
        return taken

    async def of(self, part: UUID, who: str) -> Lease | None:
        """The person's lease of a part, also after its time as long as nobody else has it."""
        held = REVIEW_LEASES.c
        wanted = select(held.waits_for).where(held.part_frame_id == part, held.reviewer == who)
        async with connected(self._engine, self._timeout_s, "reading who reviews a part") as link:
            why = (await link.execute(wanted)).scalar()
        return None if why is None else Lease(part, who, WaitingFor(why) if why else None)

    async def not_free(self, waits_for: WaitingFor) -> set[UUID]:
        """Parts that are not given for a reason: taken, or judged and perhaps not yet recorded."""
        held, judged = REVIEW_LEASES.c, REVIEWED_JUST_NOW.c
        taken = select(held.part_frame_id).where(held.ends_at > func.now())
        done = select(judged.part_frame_id).where(
            judged.waits_for == waits_for.value, judged.ends_at > func.now()
        )
        async with connected(self._engine, self._timeout_s, "reading who reviews what") as link:
            return set((await link.execute(union(taken, done))).scalars())

    async def judged(self, lease: Lease) -> None:
        """It has its verdict: free, and not given again for the same reason."""
        held = REVIEW_LEASES.c
        why = lease.waits_for.value if lease.waits_for else _CHOSEN
        until = func.now() + self._lasts
        new = insert(REVIEWED_JUST_NOW).values(
            part_frame_id=lease.part, waits_for=why, ends_at=until
        )
        is_own = and_(held.part_frame_id == lease.part, held.reviewer == lease.who)
        async with connected(self._engine, self._timeout_s, "noting a verdict") as link:
            await link.execute(delete(REVIEW_LEASES).where(is_own))
            await link.execute(
                new.on_conflict_do_update(
                    index_elements=["part_frame_id", "waits_for"],
                    set_={"ends_at": new.excluded.ends_at},
                )
            )

    async def again(self, lease: Lease) -> None:
        """Its verdict was taken back: it is the same person's again, unless somebody has it."""
        judged = REVIEWED_JUST_NOW.c
        why = lease.waits_for.value if lease.waits_for else _CHOSEN
        is_it = and_(judged.part_frame_id == lease.part, judged.waits_for == why)
        async with connected(self._engine, self._timeout_s, "taking a verdict back") as link:
            await link.execute(delete(REVIEWED_JUST_NOW).where(is_it))
        await self.take([lease.part], lease.who, lease.waits_for)

    async def release(self, who: str, parts: Iterable[UUID] | None = None) -> None:
        """Some parts, or all, are the person's no more; what ended a day ago is forgotten."""
        held, judged = REVIEW_LEASES.c, REVIEWED_JUST_NOW.c
        own = held.reviewer == who
        if parts is not None:
            own = and_(own, held.part_frame_id.in_(list(parts)))
        old = func.now() - _FORGOTTEN
        async with connected(self._engine, self._timeout_s, "giving parts back") as link:
            await link.execute(delete(REVIEW_LEASES).where(or_(own, held.ends_at < old)))
            await link.execute(delete(REVIEWED_JUST_NOW).where(judged.ends_at < old))
