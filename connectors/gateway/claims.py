"""Who is in charge of a line controller, told by one register that gateways already write.

``VisionHeartbeat`` carries two halves: the upper 16 bits name the gateway in charge, for as long as
it is, and the lower 16 count its beats. A gateway claims a controller by writing a number of its
own, waits longer than such a write may take, and is in charge only if that number still stands
(M. Fischer's timed mutual exclusion; Lamport, "A fast mutual exclusion algorithm", 1987). Pure.
"""

import random
from enum import Enum

_HALF = 16
_COUNT = (1 << _HALF) - 1


class Charge(Enum):
    """What a gateway that is not in charge makes of the register."""

    OURS = "ours"
    """Our own number stands there still."""
    FREE = "free"
    """Nobody is in charge, or nobody has been heard for long enough."""
    TAKEN = "taken"
    """Another gateway's beat moves."""
    UNCLEAR = "unclear"
    """Another gateway's beat stands there, and has not been watched for long enough."""


def gateway_of(beat: int) -> int:
    """The number of the gateway that wrote a beat; 0 is nobody's.

    >>> gateway_of(0x00070001)
    7
    """
    return beat >> _HALF


def beat_of(gateway: int, count: int) -> int:
    """The beat that a gateway writes.

    >>> hex(beat_of(7, 0x1FFFF))
    '0x7ffff'
    """
    return gateway << _HALF | count & _COUNT


def new_number(beat: int) -> int:
    """A number for a new claim, which is not the one that stands in the register."""
    numbers = random.SystemRandom()
    while (number := numbers.randint(1, _COUNT)) == gateway_of(beat):
        pass
    return number


class Watch:
    """Watches the register from one connection to the next claim.

    Args:
        ours: the number under which this process was in charge; 0: it was not.
        before: the number of an earlier process with the same journal, which is dead since; 0:
            there was none.
        silent_s: another gateway that was not heard for this long is dead, seconds.
        own_silent_s: the same for ``before``, seconds.
        prompt: claim a controller at once that says that nobody is online; a stand-by leaves it
            to the other gateway for ``silent_s``.
    """

    def __init__(
        self, ours: int, before: int, silent_s: float, own_silent_s: float, prompt: bool
    ) -> None:
        self._ours = ours
        self._before = before
        self._silent_s = silent_s
        self._own_silent_s = own_silent_s
        self._prompt = prompt or ours != 0
        self._beat: int | None = None
        self._since = 0.0

    def look(self, now: float, beat: int, online: bool) -> Charge:
        """What the register says at ``now``, seconds monotonic."""
        if self._ours and gateway_of(beat) == self._ours:
            return Charge.OURS
        moved = self._beat is not None and beat != self._beat
        if beat != self._beat:
            self._beat, self._since = beat, now
        nobody = beat == 0 or not online
        if nobody and self._prompt:
            return Charge.FREE
        if moved and not nobody:
            return Charge.TAKEN
        dead = self._before and gateway_of(beat) == self._before
        silent_s = self._own_silent_s if dead else self._silent_s
        return Charge.FREE if now - self._since >= silent_s else Charge.UNCLEAR
