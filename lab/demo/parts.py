"""What happened to each part, one row each: CSV for a spreadsheet."""

import csv
from collections.abc import Sequence
from pathlib import Path

from lab.demo.summary import PartStory

COLUMNS = (
    *("part", "true_class", "true_severity", "action", "escaped", "named", "severity"),
    *("decided_by", "score", "threshold", "trigger_to_write_ms", "frame_id", "picture", "reason"),
)


def write_parts(path: Path, stories: Sequence[PartStory]) -> None:
    """Write ``path`` in order of arrival; what a part does not have is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(story) for story in stories)


def _row(story: PartStory) -> tuple[object, ...]:
    decision = story.decision
    return (
        story.part_id,
        story.true_label,
        story.true_severity.value,
        story.done,
        "yes" if story.escaped else "no",
        story.named,
        decision.severity.value if decision else "",
        story.source.value if story.source else "",
        "" if story.score is None else f"{story.score:.6g}",
        "" if story.threshold is None else f"{story.threshold:.6g}",
        "" if story.trigger_to_write_ms is None else f"{story.trigger_to_write_ms:.1f}",
        story.frame_id or "",
        story.picture,
        story.reason,
    )
