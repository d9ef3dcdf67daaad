"""One station's watch over the frames of one product: frozen state, one step for each part."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from streams.roles.drift.martingale import Side, smoothed_rank
from streams.roles.drift.moments import Moments, PictureShift, shifts
from streams.roles.drift.quantities import PICTURE, QUANTITIES, Direction, Quantity

SIDES = sum(len(quantity.directions) for quantity in QUANTITIES)
"""Martingales of a station; each may alarm with an equal share of the probability allowed."""
LEAST_SHIFT = 0.25
"""A picture's statistic that moved by less, in deviations between pictures, is not worth a look."""
_KNOWN = 20
"""Pictures before a change from which on "nothing of them moved" can be said."""
_CONSEQUENCE = 0.5
"""Share of the largest shift below which another is taken for its consequence."""


@dataclass(frozen=True)
class WatchedPart:
    """What one part adds to the watch."""

    frame_id: UUID
    decided_at: datetime
    expert_version: str
    values: Mapping[str, float]
    """By the quantity's name."""


@dataclass(frozen=True)
class DriftAlarm:
    """The values of one quantity are no longer exchangeable."""

    quantity: Quantity
    direction: Direction
    began_at: datetime
    """When the part was decided that the change most likely began with."""
    parts: int
    """Parts with that quantity since then."""
    wealth: float
    shifts: tuple[PictureShift, ...]
    """Statistics of the pictures that moved, the largest change first."""
    pictures: int
    """Pictures since then whose statistics are known."""

    @property
    def moved(self) -> tuple[str, ...]:
        """Of ``light`` and ``focus`` what moved, else ``look``; empty where nobody measured.

        What moved far less than the other is its consequence: blur lowers the contrast too.
        """
        most = max((abs(shift.deviations) for shift in self.shifts), default=0.0)
        large = (s.moved for s in self.shifts if abs(s.deviations) >= _CONSEQUENCE * most)
        return tuple(dict.fromkeys(large)) or (("look",) if self.pictures else ())


@dataclass(frozen=True, slots=True)
class DirectionWatch:
    """The bets on one direction, with the pictures before and since the change they suspect."""

    side: Side = field(default_factory=Side)
    began_at: datetime | None = None
    parts: int = 0
    before: Moments = field(default_factory=Moments)
    since: Moments = field(default_factory=Moments)

    def step(self, rank: float, seen: WatchedPart) -> "DirectionWatch":
        """One more part; where nothing is suspected any more, its picture is as those before."""
        side = self.side.bet(rank)
        since = self.since.plus(seen.values)
        if side.evidence <= 0:
            return DirectionWatch(side=side, before=self.before.merged(since))
        return DirectionWatch(
            side=side,
            began_at=self.began_at or seen.decided_at,
            parts=self.parts + 1,
            before=self.before,
            since=since,
        )


@dataclass(frozen=True, slots=True)
class QuantityWatch:
    """One quantity: how often each bin was seen, and the bets on its directions."""

    counts: dict[int, float] = field(default_factory=dict)
    watched: tuple[DirectionWatch, ...] = ()


@dataclass(frozen=True, slots=True)
class StationWatch:
    """All that is watched at one station for one product and version of its expert."""

    expert_version: str = ""
    quantities: dict[str, QuantityWatch] = field(default_factory=dict)


_BODY = TypeAdapter(StationWatch)


def packed(state: StationWatch) -> dict[str, object]:
    """The state as JSON values, for a changelog."""
    body: dict[str, object] = _BODY.dump_python(state, mode="json")
    return body


def unpacked(body: Mapping[str, object]) -> StationWatch:
    """What ``packed`` wrote.

    Raises:
        ValueError: another version of the program wrote it.
    """
    return _BODY.validate_python(body)


def watch(
    state: StationWatch, seen: WatchedPart, alpha: float | None
) -> tuple[StationWatch, tuple[DriftAlarm, ...]]:
    """The station after one more part, and what it alarms about.

    A new version of the expert begins the watch anew; so does an alarm for its own quantity, from
    the frames after it, so that one change alarms once.

    Args:
        state: after the parts before.
        seen: the part; it must not have been watched before.
        alpha: probability, at most, that any alarm is raised while nothing changes, (0, 1); None
            redoes a part that has alarmed about nothing.
    """
    if seen.expert_version != state.expert_version:
        state = StationWatch(expert_version=seen.expert_version)
    quantities, alarms = dict(state.quantities), []
    for quantity in QUANTITIES:
        value = seen.values.get(quantity.name)
        if value is None:
            continue
        known = quantities.get(quantity.name) or _begun(quantity, quantity.prior)
        stepped = _step(quantity, known, value, seen)
        alarm = None if alpha is None else _alarm(quantity, stepped, alpha)
        if alarm is not None:
            alarms.append(alarm)
            stepped = _begun(quantity, {})
        quantities[quantity.name] = stepped
    changed = StationWatch(expert_version=seen.expert_version, quantities=quantities)
    return changed, tuple(alarms)


def _begun(quantity: Quantity, counts: dict[int, float]) -> QuantityWatch:
    return QuantityWatch(counts=counts, watched=(DirectionWatch(),) * len(quantity.directions))


def _step(
    quantity: Quantity, known: QuantityWatch, value: float, seen: WatchedPart
) -> QuantityWatch:
    number = quantity.bin_of(value)
    rank = smoothed_rank(known.counts, number, _chance(seen.frame_id, quantity.name))
    watched = tuple(
        own.step(rank if direction == "falls" else 1 - rank, seen)
        for own, direction in zip(known.watched, quantity.directions, strict=True)
    )
    counts = {**known.counts, number: known.counts.get(number, 0.0) + 1}
    return QuantityWatch(counts=counts, watched=watched)


def _alarm(quantity: Quantity, stepped: QuantityWatch, alpha: float) -> DriftAlarm | None:
    for own, direction in zip(stepped.watched, quantity.directions, strict=True):
        if own.side.wealth < SIDES / alpha or own.began_at is None:
            continue
        moved = shifts(own.before, own.since)
        if quantity.name in PICTURE and not any(
            shift.name == quantity.name and abs(shift.deviations) >= LEAST_SHIFT for shift in moved
        ):
            continue
        return DriftAlarm(
            quantity,
            direction,
            own.began_at,
            own.parts,
            own.side.wealth,
            moved,
            own.since.count if own.before.count >= _KNOWN else 0,
        )
    return None


def _chance(frame_id: UUID, name: str) -> float:
    """Uniform in [0, 1), the same whenever the frame is watched again."""
    digest = hashlib.blake2b(name.encode(), key=frame_id.bytes, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
