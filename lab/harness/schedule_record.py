"""What a long schedule of faults came to so far, kept in a file from which it goes on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.harness.schedule import PlannedFault
from streams.errors import AndonError


class ScheduleRecordError(AndonError):
    """The file holds another run, or none."""


@dataclass(frozen=True)
class LegFound:
    """What one leg came to, by the ledger, Kafka and the history."""

    leg: int
    parts: int
    faults: int
    """Faults that were done."""
    lost: int
    acted_twice: int
    contradictory: int
    run_s: float
    errors: tuple[str, ...] = ()
    """Faults that could not be done, and why."""
    left: tuple[PlannedFault, ...] = ()
    """Faults that the end of its parts came before; the next leg begins with them."""
    why: tuple[str, ...] = ()
    """The first breaches in words."""

    @property
    def holds(self) -> bool:
        """Nothing was lost, acted on twice or acknowledged contradictorily."""
        return not (self.lost or self.acted_twice or self.contradictory)

    def in_words(self) -> str:
        """One line."""
        return (
            f"{self.parts} parts, {self.faults} faults: lost {self.lost}, "
            f"acted twice {self.acted_twice}, contradictory {self.contradictory}"
        )


_LEG = TypeAdapter(LegFound)


@dataclass
class ScheduleRecord:
    """The legs that were played; with a path, each is on disk once it is judged."""

    options: dict[str, object]
    """What the run is of: the same options play the same faults."""
    path: Path | None = None
    legs: list[LegFound] = field(default_factory=list)

    @property
    def left(self) -> Sequence[PlannedFault]:
        """Faults that the last leg had no time for."""
        return self.legs[-1].left if self.legs else ()

    def add(self, found: LegFound) -> None:
        """Keep a leg."""
        self.legs.append(found)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_LEG.dump_json(found).decode() + "\n")

    def figures(self, planned: int) -> dict[str, object]:
        """The sum of the legs; ``planned`` faults were drawn."""
        done = sum(leg.faults for leg in self.legs)
        return {
            "parts": sum(leg.parts for leg in self.legs),
            "legs": len(self.legs),
            "faults": done,
            "not_done": planned - done,
            "lost": sum(leg.lost for leg in self.legs),
            "acted_twice": sum(leg.acted_twice for leg in self.legs),
            "contradictory": sum(leg.contradictory for leg in self.legs),
            "run_s": round(sum(leg.run_s for leg in self.legs), 1),
            "errors": [error for leg in self.legs for error in leg.errors][:20],
            "why": [f"leg {leg.leg}: {why}" for leg in self.legs for why in leg.why][:20],
            "verdict": "holds" if all(leg.holds for leg in self.legs) else "BROKEN",
        }


def open_record(path: Path | None, options: dict[str, object]) -> ScheduleRecord:
    """The record of a run with these options; a new one where there is no file.

    A leg whose line was cut off, by a kill while it was written, is played again.

    Raises:
        ScheduleRecordError: the file holds a run with other options, or something else.
    """
    record = ScheduleRecord(options, path)
    if path is None:
        return record
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(options) + "\n", encoding="utf-8")
        return record
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    try:
        head, *lines = whole.splitlines()
        told = json.loads(head)
        record.legs = [_LEG.validate_json(line) for line in lines]
    except (ValueError, ValidationError) as error:
        raise ScheduleRecordError(f"{path} holds no legs of a schedule: {error}") from error
    if told != options:
        differing = sorted(n for n in {*told, *options} if told.get(n) != options.get(n))
        raise ScheduleRecordError(
            f"{path} holds a run of other options ({', '.join(differing)}); name another file"
        )
    if len(whole) < len(text):
        path.write_text(whole, encoding="utf-8")
    return record
