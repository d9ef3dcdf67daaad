"""Is what the history says what the controller did? Judged trigger by trigger. Pure.

After Jepsen: a run under faults leaves two records, the controller's own ledger and the history,
and the checker knows nothing else of the run. Each TriggerSeq has exactly one outcome at the
controller, an acknowledged result is the one that the controller applied, and no two results of a
trigger are acknowledged.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from lab.plc.ledger import Disposition, Key, LedgerEntry
from streams.codes import AckOutcome


class Breach(StrEnum):
    """What a guarantee forbids."""

    NO_OUTCOME = "no_outcome"
    """A trigger has neither a result nor the controller's default."""
    ACTED_TWICE = "acted_twice"
    """More than one result reached the controller inside the window, or the trigger came twice."""
    WRONG_PART = "wrong_part"
    """A result named another part than the one that was triggered."""
    TWO_ACKNOWLEDGED = "two_acknowledged"
    """The history says of two results of one trigger that the controller took them."""
    NOT_APPLIED = "not_applied"
    """The history says without a doubt that a result was taken, and the controller, by itself, did
    something else. One that says what the controller did all the same contradicts nobody."""
    ANOTHER_ACTION = "another_action"
    """The history says that another action was taken than the controller took."""
    SAID_LATE = "said_late"
    """The history says of the result that the controller applied that it came too late."""
    UNTOLD = "untold"
    """The controller applied and acknowledged a result that the history does not know as such."""
    NO_TRIGGER = "no_trigger"
    """The history has a result for a trigger that the controller never gave."""
    NOT_PLAYED = "not_played"
    """The ledger has fewer triggers than were planned, or their numbers have a hole."""


CONTRADICTORY = frozenset(
    {Breach.TWO_ACKNOWLEDGED, Breach.NOT_APPLIED, Breach.ANOTHER_ACTION, Breach.SAID_LATE}
)
"""Acknowledgements that say what the controller did not do."""
TWICE = frozenset({Breach.ACTED_TWICE})
LOST = frozenset(Breach) - CONTRADICTORY - TWICE


@dataclass(frozen=True)
class RecordedAck:
    """One acknowledgement as the history has it."""

    key: Key
    part_id: str
    result_id: UUID
    outcome: AckOutcome
    action: str
    result_seq: int
    is_sure: bool = True
    """False where it says itself that the controller's default may stand."""


@dataclass(frozen=True)
class Found:
    """One breach, and the trigger that shows it."""

    breach: Breach
    key: Key
    why: str = ""

    def __str__(self) -> str:
        return f"boot {self.key[0]} trigger {self.key[1]}: {self.breach.value} {self.why}".rstrip()


def judged(
    ledger: Sequence[LedgerEntry], told: Iterable[RecordedAck], planned: int | None = None
) -> list[Found]:
    """Every breach of a run, in the order of its triggers.

    Args:
        ledger: the controller's own book.
        told: the acknowledgements of the history, each as often as it is there.
        planned: how many parts the controller was told to play.
    """
    by_key: dict[Key, list[RecordedAck]] = defaultdict(list)
    for one in told:
        by_key[one.key].append(one)
    found = _not_played(ledger, planned)
    repeats = Counter(entry.key for entry in ledger)
    for entry in ledger:
        found += _of_controller(entry, repeats[entry.key])
        found += _of_history(entry, by_key.pop(entry.key, []))
    boots = {entry.key[0] for entry in ledger}
    found += [Found(Breach.NO_TRIGGER, key) for key in sorted(by_key) if key[0] in boots]
    return found


def counted(found: Iterable[Found]) -> dict[str, int]:
    """Triggers that were lost, acted on twice, and acknowledged contradictorily."""
    groups = {"lost": LOST, "acted_twice": TWICE, "contradictory": CONTRADICTORY}
    breaches = list(found)
    return {
        name: len({one.key for one in breaches if one.breach in group})
        for name, group in groups.items()
    }


def _not_played(ledger: Sequence[LedgerEntry], planned: int | None) -> list[Found]:
    found = []
    last: dict[int, int] = {}
    for entry in ledger:
        boot, seq = entry.key
        expected = last.get(boot, 0) + 1
        if seq != expected and boot in last and seq != last[boot]:
            found.append(Found(Breach.NOT_PLAYED, entry.key, f"{expected} was expected"))
        last[boot] = seq
    if planned is not None and planned != len(ledger):
        found.append(Found(Breach.NOT_PLAYED, (0, 0), f"{len(ledger)} of {planned} parts"))
    return found


def _of_controller(entry: LedgerEntry, repeats: int) -> list[Found]:
    found = []
    if not entry.action:
        found.append(Found(Breach.NO_OUTCOME, entry.key))
    if entry.results_in_window > 1 or repeats > 1:
        found.append(Found(Breach.ACTED_TWICE, entry.key, f"{entry.results_in_window} results"))
    if entry.wrong_part:
        found.append(Found(Breach.WRONG_PART, entry.key))
    return found


def _of_history(entry: LedgerEntry, told: Sequence[RecordedAck]) -> list[Found]:
    applied = {row.result_seq for row in entry.results if row.disposition is Disposition.APPLIED}
    taken = {one.result_id: one for one in told if _was_taken(one)}
    found = []
    if len(taken) > 1:
        found.append(Found(Breach.TWO_ACKNOWLEDGED, entry.key, f"{len(taken)} results"))
    for one in taken.values():
        if one.action != entry.action and (applied or one.is_sure):
            why = f"{one.action} was told, {entry.action} was done {entry.default_reason or ''}"
            kind = Breach.ANOTHER_ACTION if applied else Breach.NOT_APPLIED
            found.append(Found(kind, entry.key, why.rstrip()))
        if one.part_id not in ("", entry.part_id):
            found.append(Found(Breach.WRONG_PART, entry.key, one.part_id))
    for one in told:
        said_late = one.outcome is AckOutcome.LATE and one.is_sure
        if said_late and one.result_seq and one.result_seq in applied:
            found.append(Found(Breach.SAID_LATE, entry.key))
    if applied and entry.acknowledged and not taken:
        found.append(Found(Breach.UNTOLD, entry.key, f"{entry.action} was acknowledged"))
    return found


def _was_taken(one: RecordedAck) -> bool:
    """Whether the controller has the result, for all that the history says."""
    may_be_late = one.outcome is AckOutcome.LATE and not one.is_sure
    return one.outcome is AckOutcome.ACKNOWLEDGED or (may_be_late and one.result_seq > 0)
