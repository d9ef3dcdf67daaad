"""A randomised schedule of faults from a seed. Pure: the same seed gives the same faults."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

KILL, PAUSE = "kill", "pause"
_PAUSES_S = (0.2, 6.0)
"""How long a process is stopped by SIGSTOP, seconds: from a hiccup to beyond every heartbeat."""
_DOWN_S = (0.0, 4.0)
"""How long a killed store or broker stays away, seconds."""
_QUIET = 0.03
"""Share of the parts before the first fault and after the last, in which nothing happens."""


@dataclass(frozen=True)
class PlannedFault:
    """One fault: of whom, of which kind, when, and for how long."""

    at_part: int
    kind: str
    victim: str
    seconds: float
    """How long it is stopped, or stays away before its supervisor starts it."""

    def __str__(self) -> str:
        return f"part {self.at_part}: {self.kind} {self.victim} ({self.seconds:.1f} s)"


def schedule(
    seed: int, parts: int, victims: Sequence[str], kills: int, pauses: int = 0
) -> list[PlannedFault]:
    """Each victim killed ``kills`` and stopped ``pauses`` times, at random parts.

    Two faults may fall on the same part: then one follows the other.

    >>> schedule(7, 100, ["gateway"], kills=1) == schedule(7, 100, ["gateway"], kills=1)
    True
    """
    rng = random.Random(seed)
    kinds = [(KILL, v) for v in victims for _ in range(kills)]
    kinds += [(PAUSE, v) for v in victims for _ in range(pauses)]
    rng.shuffle(kinds)
    quiet = max(1, round(parts * _QUIET))
    places = sorted(rng.randint(quiet, max(quiet, parts - quiet)) for _ in kinds)
    bounds = {KILL: _DOWN_S, PAUSE: _PAUSES_S}
    return [
        PlannedFault(place, kind, victim, round(rng.uniform(*bounds[kind]), 2))
        for place, (kind, victim) in zip(places, kinds, strict=True)
    ]


@dataclass(frozen=True)
class Leg:
    """A stretch of a long schedule, played and judged by itself."""

    number: int
    """From 1."""
    parts: int
    faults: tuple[PlannedFault, ...]
    """Its faults, at parts of this leg."""


def legs(planned: Sequence[PlannedFault], parts: int, size: int) -> list[Leg]:
    """Cut a schedule into legs of ``size`` parts; what is left over goes with the last.

    >>> [leg.parts for leg in legs([], 1250, 500)]
    [500, 750]
    """
    count = max(1, parts // size)
    found = []
    for number in range(count):
        first = number * size
        end = parts if number == count - 1 else first + size
        faults = tuple(
            replace(fault, at_part=fault.at_part - first)
            for fault in planned
            if first <= fault.at_part < end
        )
        found.append(Leg(number + 1, end - first, faults))
    return found
