"""Parts of several shots, what befalls them, and what must come of each: an evaluator of its own.

It shares no code with the policies and the joiner: ``expected`` reads the plan alone, by a table of
actions and an order of gravity written down here.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streams.errors import AndonError

SHOTS = ("top", "left", "right")
ACTIONS = {"good": "pass", "dust": "pass", "pit": "rework", "crack": "scrap"}
"""What the line does with a shot of each kind, when it is judged in time."""
LATE_ACTION, MISSING_ACTION = "rework", "hold"
GRAVITY = ("pass", "rework", "hold", "scrap")
POLICY = {
    "product": "sides",
    "classes": {
        "dust": {"severity": "negligible", "action": "pass"},
        "pit": {"severity": "defect", "action": "rework"},
        "crack": {"severity": "defect", "action": "scrap"},
    },
    "fallbacks": {"late": LATE_ACTION, "expert_unavailable": LATE_ACTION},
    "shots": {
        "combine": "worst_action",
        "missing": MISSING_ACTION,
        "rules": [{"name": "two_pits", "when": "class == 'pit'", "at_least": 2, "action": "scrap"}],
    },
}
"""The policy whose decisions ``expected`` foretells without reading it."""


@dataclass(frozen=True)
class PlannedShot:
    """One photograph: what it shows, and what befalls it."""

    shows: str
    fault: str = ""
    """``lost`` on the way, ``slow`` to judge, ``delayed`` on the way beyond the window, ``doubled``
    on the way; nothing when empty."""

    @property
    def picture(self) -> bytes:
        """What the camera gives; the stand-ins of expert and classifier read it."""
        return json.dumps({"shows": self.shows, "slow": self.fault == "slow"}).encode()


@dataclass(frozen=True)
class SidedPart:
    """One part of the plan."""

    part_id: str
    shots: tuple[PlannedShot, ...]


def make_parts(count: int, seed: int = 16) -> list[SidedPart]:
    """``count`` parts; one in ten with a lost, one with a late and one with a doubled shot.

    Late is half by a slow judge and half by a frame that comes after the window.
    """
    if count < 10:
        raise AndonError(f"{count} parts: with fewer than 10 not every fault would be there")
    rng = random.Random(seed)
    faulty = rng.sample(range(count), 3 * (count // 10))
    kinds = ("lost", "slow", "doubled", "lost", "delayed", "doubled")
    fault_of = {part: kinds[n % len(kinds)] for n, part in enumerate(faulty)}
    parts = []
    for number in range(count):
        shown = rng.choices(("good", "dust", "pit", "crack"), (70, 8, 14, 8), k=len(SHOTS))
        hit = rng.randrange(len(SHOTS)) if number in fault_of else -1
        shots = (
            PlannedShot(what, fault_of[number] if n == hit else "") for n, what in enumerate(shown)
        )
        parts.append(SidedPart(f"part-{number + 1:05d}", tuple(shots)))
    return parts


def expected(part: SidedPart) -> str:
    """The one right action for a part.

    >>> expected(SidedPart("p", (PlannedShot("pit"), PlannedShot("pit"), PlannedShot("good"))))
    'scrap'
    >>> expected(SidedPart("p", (PlannedShot("pit"), PlannedShot("crack", "lost"))))
    'hold'
    """
    actions = []
    seen: Counter[str] = Counter()
    for shot in part.shots:
        if shot.fault in ("lost", "delayed"):
            actions.append(MISSING_ACTION)
        elif shot.fault == "slow":
            actions.append(LATE_ACTION)
        else:
            actions.append(ACTIONS[shot.shows])
            seen[shot.shows] += 1
    if seen["pit"] >= 2:
        return "scrap"
    return max(actions, key=GRAVITY.index)


def faults_of(parts: Sequence[SidedPart]) -> dict[str, int]:
    """How many shots each fault befalls."""
    return dict(Counter(shot.fault for part in parts for shot in part.shots if shot.fault))
