"""The watches of one product's stations on one line, beside the limits' memory of its parts."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from streams.events import Alert, CountedPart, Decision
from streams.roles.drift.quantities import watched_values
from streams.roles.drift.watching import (
    DriftAlarm,
    StationWatch,
    WatchedPart,
    packed,
    unpacked,
    watch,
)

_ALERTS = UUID("a4d5b0c4-6a43-5e0b-9f7e-3c1f5f0e8a27")


class StationWatches:
    """By station, with the number of the part whose entry carried the state last.

    An entry carries its station's state now and then, and always with an alarm. The parts after it
    are redone from their own entries, with the same outcome: chance derives from the frame.
    """

    def __init__(self) -> None:
        self._states: dict[str, StationWatch] = {}
        self._carried: dict[str, int] = {}

    @classmethod
    def restored(cls, ordered: Sequence[CountedPart]) -> "StationWatches":
        """The watches after entries in order of their numbers."""
        found = cls()
        for entry in ordered:
            if entry.drift is not None:
                try:
                    found._states[entry.station] = unpacked(entry.drift)
                except ValueError:
                    continue
                found._carried[entry.station] = entry.number
            elif entry.station in found._states and entry.watched:
                found._states[entry.station], _ = watch(
                    found._states[entry.station], _seen(entry), None
                )
        return found

    def observe(
        self, entry: CountedPart, decision: Decision, alpha: float, every: int
    ) -> tuple[CountedPart, tuple[Alert, ...]]:
        """One more part: its entry with what restores the watch, and the alerts.

        Args:
            entry: of the part, without what is watched.
            decision: for the part.
            alpha: see ``watch``; 0 watches nothing.
            every: most parts between two entries that carry the state.
        """
        # a part with several shots speaks of one camera now and of another then
        values = {} if decision.shots else watched_values(decision)
        if not values or not alpha:
            return entry, ()
        assert decision.inspection is not None
        station = decision.station
        told = {
            "station": station,
            "watched": values,
            "expert_version": decision.inspection.expert_version,
        }
        entry = entry.model_copy(update=told)
        before = self._states.get(station, StationWatch())
        state, alarms = watch(before, _seen(entry), alpha)
        self._states[station] = state
        if alarms or entry.number - self._carried.get(station, -every) >= every:
            self._carried[station] = entry.number
            entry = entry.model_copy(update={"drift": packed(state)})
        return entry, tuple(_alert(decision, alarm, alpha) for alarm in alarms)


def _seen(entry: CountedPart) -> WatchedPart:
    return WatchedPart(entry.frame_id, entry.decided_at, entry.expert_version, entry.watched)


def _alert(decision: Decision, alarm: DriftAlarm, alpha: float) -> Alert:
    """The event for ``andon.alerts``; its id repeats under redelivery."""
    name = f"drift/{alarm.quantity.name}"
    moved = " and ".join(alarm.moved) or "what moved is not known"
    pictures = "; ".join(map(str, alarm.shifts)) or "no statistic of the pictures moved"
    if not alarm.pictures:
        pictures = "no statistics of pictures before and after"
    says = alarm.quantity.says
    if len(alarm.quantity.directions) > 1:
        says = f"{says} {alarm.direction}"
    return Alert(
        alert_id=uuid5(_ALERTS, f"{decision.frame_id}/{name}"),
        kind="drift",
        line=decision.line,
        product_id=decision.product_id,
        station=decision.station,
        limit=name,
        reason=f"station {decision.station}: {says} since {alarm.began_at:%Y-%m-%d %H:%M:%S} "
        f"({alarm.parts} parts); moved: {moved} ({pictures}); a station where nothing changes "
        f"raises such an alarm with a probability of {alpha:g} at most",
        count=alarm.parts,
        policy_hash=decision.policy_hash,
        began_at=alarm.began_at,
        moved=alarm.moved,
        raised_at=decision.decided_at,
    )
