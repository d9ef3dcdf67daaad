"""Was a part lost, or acted on twice? The PLC's ledger against Kafka against PostgreSQL. Pure.

Nothing here trusts a counter of the code under test: the ledger is the PLC's own record of what
it was told, the topics are read from their beginning, the database and the object store are
asked for what they hold.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from lab.plc.ledger import Key, LedgerEntry
from streams.codes import DecisionSource
from streams.events import Acknowledgement, Alert, Decision


@dataclass(frozen=True)
class OnKafka:
    """What the topics hold, read from their beginning."""

    frames: Mapping[Key, UUID]
    decisions: Sequence[Decision]
    acknowledgements: Sequence[Acknowledgement]
    anomalies: Set[UUID]
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """Count by ``stage error_type``."""
    alerts: Sequence[Alert] = ()
    """Limits across parts that were exceeded."""

    def of_boots(self, boots: Set[int]) -> "OnKafka":
        """Only what belongs to these runs of a PLC: for a broker that other runs share."""
        decisions = [d for d in self.decisions if d.plc_boot_id in boots]
        frames = {key: frame for key, frame in self.frames.items() if key[0] in boots}
        ours = {d.frame_id for d in decisions} | set(frames.values())
        ours |= {shot.frame_id for d in decisions for shot in d.shots if shot.frame_id is not None}
        return OnKafka(
            frames,
            decisions,
            [a for a in self.acknowledgements if a.plc_boot_id in boots],
            self.anomalies & ours,
            self.dead_letters,
            self.alerts,
        )


@dataclass(frozen=True)
class InHistory:
    """What PostgreSQL and the object store hold."""

    decisions: Set[UUID]
    """Result ids."""
    acknowledgements: Set[tuple[UUID, str]]
    """(result id, outcome)."""
    anomalies: Set[UUID]
    """Frame ids."""
    pictures: Set[UUID]
    """Frame ids whose image object exists."""


@dataclass(frozen=True)
class Balance:
    """The line's balance. ``lost`` and ``acted_twice`` name each part and why."""

    parts: int
    decided: int
    acknowledged: int
    late: int
    by_source: dict[str, int]
    lost: tuple[str, ...]
    acted_twice: tuple[str, ...]
    effective: Mapping[Key, Decision] = field(default_factory=dict)
    """The decision that the PLC applied, where it came from the gateway."""

    @property
    def balanced(self) -> bool:
        return not self.lost and not self.acted_twice

    def figures(self) -> dict[str, object]:
        """How many parts of each kind there were."""
        return {
            "parts": self.parts,
            "decided": self.decided,
            "acknowledged": self.acknowledged,
            "lost": len(self.lost),
            "acted_twice": len(self.acted_twice),
            "late": self.late,
            "by_source": self.by_source,
        }


def balance_of(
    ledger: Sequence[LedgerEntry], kafka: OnKafka, history: InHistory, planned: int | None = None
) -> Balance:
    """Compare the three; ``planned`` is how many parts the PLC was told to play."""
    decisions: dict[Key, list[Decision]] = {}
    for decision in kafka.decisions:
        decisions.setdefault((decision.plc_boot_id, decision.trigger_seq), []).append(decision)
    acked = {
        (a.plc_boot_id, a.trigger_seq): a for a in kafka.acknowledgements if a.reached_controller
    }
    effective = {
        key: decision
        for key, ack in acked.items()
        for decision in decisions.get(key, ())
        if decision.result_id == ack.result_id
    }
    lost = [
        f"{p.part_id} (seq {p.key[1]}): {why}"
        for p in ledger
        for why in _missing(p, decisions, acked, effective)
    ]
    lost += _missing_from_history(kafka, history)
    seen = {p.key for p in ledger}
    lost += [
        f"frame {frame}: not a trigger of the PLC"
        for key, frame in kafka.frames.items()
        if key not in seen
    ]
    if planned is not None and planned != len(ledger):
        lost.append(f"{planned} parts planned, {len(ledger)} in the PLC's ledger")
    return Balance(
        parts=len(ledger),
        decided=sum(1 for p in ledger if p.action),
        acknowledged=sum(1 for p in ledger if p.acknowledged),
        late=sum(1 for d in kafka.decisions if d.is_late) + sum(p.late for p in ledger),
        by_source={s.value: sum(1 for p in ledger if p.source == s) for s in DecisionSource},
        lost=tuple(lost),
        acted_twice=_acted_twice(ledger),
        effective=effective,
    )


def _missing(
    part: LedgerEntry,
    decisions: Mapping[Key, Sequence[Decision]],
    acked: Mapping[Key, Acknowledgement],
    effective: Mapping[Key, Decision],
) -> list[str]:
    if not part.action:
        return ["the PLC has neither a result nor its own default"]
    if part.source == DecisionSource.PLC_DEFAULT:
        return []
    if part.key not in decisions:
        return ["a result reached the PLC, no decision is on Kafka"]
    if part.acknowledged and part.key not in acked:
        return ["acknowledged by the PLC, no acknowledgement is on Kafka"]
    if part.acknowledged and part.key not in effective:
        return ["the acknowledged decision is not on Kafka"]
    chosen = effective.get(part.key)
    if chosen is not None and chosen.action != part.action:
        return [f"the PLC applied {part.action}, Kafka says {chosen.action.value}"]
    if chosen is not None and chosen.part_id not in ("", part.part_id):
        return [f"the result was for part {chosen.part_id}"]  # "": held for a missed trigger
    return []


def _missing_from_history(kafka: OnKafka, history: InHistory) -> list[str]:
    acks = {(a.result_id, a.outcome.value) for a in kafka.acknowledgements}
    decided = {d.frame_id for d in kafka.decisions}
    gaps: dict[str, Set[object]] = {
        "decision {} is not in the history": {d.result_id for d in kafka.decisions}
        - history.decisions,
        "acknowledgement {} is not in the history": acks - history.acknowledgements,
        "anomaly {} is not in the history": kafka.anomalies - history.anomalies,
        "the picture of anomaly {} is not in the object store": history.anomalies
        - history.pictures,
        "picture {} has no row": history.pictures - history.anomalies,
        "frame {} has no decision": set(kafka.frames.values()) - decided,
    }
    return [text.format(item) for text, items in gaps.items() for item in sorted(items, key=str)]


def _acted_twice(ledger: Sequence[LedgerEntry]) -> tuple[str, ...]:
    repeats = Counter(p.key for p in ledger)
    return tuple(
        f"{p.part_id} (seq {p.key[1]}): {p.results_in_window} results"
        for p in ledger
        if p.results_in_window > 1 or repeats[p.key] > 1
    )
