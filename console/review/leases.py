"""Which part is whose while it is reviewed, so that nobody is given what somebody else looks at.

Kept in the memory of one console, with a bound and an end: two consoles may give the same part to
two people, whose reviews are then two, of which the later counts. Pure but for the clock.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from history.review_queue import WaitingFor

LEASE_S: Final = 300.0
"""How long a part is one person's."""
MOST_OF_ONE: Final = 32
"""Parts that one person has at once; beyond it the one taken first is free again."""
MOST: Final = 5000
"""Parts that are remembered as taken or judged, in all."""


@dataclass(frozen=True)
class Lease:
    """A part that somebody reviews."""

    part: UUID
    who: str
    waits_for: WaitingFor | None
    """Why it was given; None where the reviewer chose it."""
    until: float

    @property
    def is_blind(self) -> bool:
        """Whether the reviewer was shown no verdict."""
        return self.waits_for is not None and self.waits_for.is_blind


class ReviewLeases:
    """Who has what, and what was judged a moment ago.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._leases: OrderedDict[UUID, Lease] = OrderedDict()
        self._judged: OrderedDict[tuple[UUID, WaitingFor | None], float] = OrderedDict()

    def take(self, part: UUID, who: str, waits_for: WaitingFor | None) -> bool:
        """Have the part, unless it is somebody else's."""
        now = self._clock()
        held = self._leases.get(part)
        if held is not None and held.who != who and held.until > now:
            return False
        self._leases[part] = Lease(part, who, waits_for, now + LEASE_S)
        self._leases.move_to_end(part)
        own = [lease.part for lease in self._leases.values() if lease.who == who]
        for old in own[:-MOST_OF_ONE]:
            del self._leases[old]
        while len(self._leases) > MOST:
            self._leases.popitem(last=False)
        return True

    def of(self, part: UUID, who: str) -> Lease | None:
        """The person's lease of a part, also after its time as long as nobody else has it."""
        held = self._leases.get(part)
        return held if held is not None and held.who == who else None

    def not_free(self, waits_for: WaitingFor) -> set[UUID]:
        """Parts that are not given for a reason: taken, or judged and perhaps not yet recorded."""
        now = self._clock()
        while self._judged and next(iter(self._judged.values())) <= now:
            self._judged.popitem(last=False)
        taken = {lease.part for lease in self._leases.values() if lease.until > now}
        return taken | {part for part, reason in self._judged if reason is waits_for}

    def judged(self, lease: Lease) -> None:
        """It has its verdict: free, and not given again for the same reason."""
        self._leases.pop(lease.part, None)
        self._judged[lease.part, lease.waits_for] = self._clock() + LEASE_S
        while len(self._judged) > MOST:
            self._judged.popitem(last=False)

    def again(self, lease: Lease) -> None:
        """Its verdict was taken back: it is the same person's again."""
        self._judged.pop((lease.part, lease.waits_for), None)
        self.take(lease.part, lease.who, lease.waits_for)

    def release(self, who: str, parts: Iterable[UUID] | None = None) -> None:
        """Some parts, or all, are the person's no more."""
        chosen = set(parts) if parts is not None else None
        for lease in list(self._leases.values()):
            if lease.who == who and (chosen is None or lease.part in chosen):
                del self._leases[lease.part]
