"""What happened to each part, one row each: CSV for a spreadsheet."""

from collections.abc import Sequence
from pathlib import Path

from history.export.lines import csv_line
from lab.demo.summary import PartStory

COLUMNS = (
    *("part", "true_class", "true_severity", "action", "escaped", "named", "severity"),
    *("decided_by", "score", "threshold", "trigger_to_write_ms", "frame_id", "picture", "reason"),
)


def write_parts(path: Path, stories: Sequence[PartStory]) -> None:
    """Write ``path`` in order of arrival; what a part does not have is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(csv_line(COLUMNS))
        file.writelines(csv_line(_row(story)) for story in stories)


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
        None if story.score is None else float(f"{story.score:.6g}"),
        None if story.threshold is None else float(f"{story.threshold:.6g}"),
        None if story.trigger_to_write_ms is None else round(story.trigger_to_write_ms, 1),
        story.frame_id or "",
        story.picture,
        story.reason,
    )
