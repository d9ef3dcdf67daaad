"""What happened to the parts: one story each, and figures over all. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from lab.datasets.folders import GOOD
from lab.demo.verdicts import JudgedPart, Verdicts
from lab.harness.balance import Balance, OnKafka
from lab.harness.plan import LinePlan
from lab.percentiles import percentile
from lab.plc.ledger import LedgerEntry
from streams.codes import Action, DecisionSource, Severity
from streams.events import Decision, Inspection


@dataclass(frozen=True)
class PartStory:
    """One part from arrival to action, with what is true of it (known to the demo alone)."""

    part_id: str
    true_label: str
    true_severity: Severity
    picture: Path
    action: Action | None
    source: DecisionSource | None
    decision: Decision | None = None
    inspection: Inspection | None = None
    """The decision's; a part whose decision has none may still have been scored too late."""
    frame_id: UUID | None = None
    trigger_to_write_ms: float | None = None
    photographed: str = ""
    """The part on the photograph: several may show one."""

    @property
    def verdict(self) -> JudgedPart:
        """What counts towards the two shares."""
        shown = self.photographed or self.part_id
        return JudgedPart(shown, self.true_label, self.true_severity, self.action)

    @property
    def escaped(self) -> bool:
        """A defect that passed."""
        return self.true_severity is Severity.DEFECT and self.action is Action.PASS

    @property
    def done(self) -> str:
        """What the line did with it; ``none`` where nobody acted."""
        return self.action.value if self.action else "none"

    @property
    def named(self) -> str:
        """The class that the line gave it; empty without a decision."""
        return self.decision.class_name if self.decision else ""

    @property
    def score(self) -> float | None:
        """The expert's score, however late."""
        return self.inspection.score if self.inspection else None

    @property
    def threshold(self) -> float | None:
        """Score from which the expert would have called it anomalous."""
        inspection = self.decision.inspection if self.decision else None
        return inspection.threshold if inspection else None

    @property
    def reason(self) -> str:
        """Why the action, in words."""
        if self.decision is not None:
            return self.decision.reason
        if self.source is DecisionSource.PLC_DEFAULT:
            return "no result reached the line controller in time: its own default"
        return ""


def tell(
    plan: LinePlan,
    severities: Mapping[str, Severity],
    ledger: Sequence[LedgerEntry],
    kafka: OnKafka,
    balance: Balance,
) -> list[PartStory]:
    """One story per part of the plan that reached the PLC, in order of arrival.

    A class that ``severities`` does not name counts as a defect.
    """
    photographs = {p.part_id: p.photograph for p in plan.parts}
    # a part whose effective decision has no inspection may still have been scored too late
    scored = {(d.plc_boot_id, d.trigger_seq): d for d in kafka.decisions if d.inspection}
    latency = {
        (a.plc_boot_id, a.trigger_seq): a.trigger_to_write_ms
        for a in kafka.acknowledgements
        if a.reached_controller
    }
    stories = []
    for part in ledger:
        photograph = photographs[part.part_id]
        label = photograph.label
        decision = balance.effective.get(part.key)
        inspected = decision if decision is not None and decision.inspection else None
        inspected = inspected or scored.get(part.key)
        stories.append(
            PartStory(
                part_id=part.part_id,
                true_label=label,
                true_severity=severity_of(label, severities),
                picture=photograph.path,
                action=Action(part.action) if part.action else None,
                source=DecisionSource(part.source) if part.source else None,
                decision=decision,
                inspection=inspected.inspection if inspected is not None else None,
                frame_id=kafka.frames.get(part.key),
                trigger_to_write_ms=latency.get(part.key),
                photographed=photograph.part,
            )
        )
    return stories


def severity_of(label: str, severities: Mapping[str, Severity]) -> Severity:
    """What a part of a class is worth; a class that ``severities`` does not name is a defect."""
    return Severity.NORMAL if label == GOOD else severities.get(label, Severity.DEFECT)


@dataclass(frozen=True)
class Summary:
    """The demo's result; the keys of ``as_json`` are what programs may rely on."""

    balance: Balance
    escaped: tuple[PartStory, ...]
    """Defects that passed."""
    confusion: dict[str, dict[str, int]]
    severities: dict[str, dict[str, int]]
    named: dict[str, dict[str, int]]
    """What the line called anomalous parts, ``unknown`` among them, and what it did."""
    frames_per_s: float
    latency_ms: dict[str, dict[str, float]]
    auroc: float | None
    verdicts: Verdicts
    beside: dict[str, Verdicts] = field(default_factory=dict)
    """The same parts decided otherwise, such as without teaching."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def escapes(self) -> dict[str, dict[str, int]]:
        """Class -> who let how many of its defects pass."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for story in self.escaped:
            found[story.true_label][story.source.value if story.source else "nobody"] += 1
        return {label: dict(counts) for label, counts in sorted(found.items())}

    def as_json(self) -> dict[str, Any]:
        """One object for programs."""
        return {
            **self.balance.figures(),
            "escapes": self.escapes,
            "escaped_parts": [story.part_id for story in self.escaped],
            "frames_per_s": self.frames_per_s,
            "latency_ms": self.latency_ms,
            "auroc": self.auroc,
            **self.verdicts.as_json(),
            "beside": {name: found.as_json() for name, found in self.beside.items()},
            "confusion": self.confusion,
            "severities": self.severities,
            "named": self.named,
            **self.extra,
        }


def summarise(
    balance: Balance,
    stories: Sequence[PartStory],
    run_s: float,
    extra: Mapping[str, Any] | None = None,
    beside: Mapping[str, Verdicts] | None = None,
) -> Summary:
    """Figures over all parts; ``run_s`` is first trigger to last result in seconds."""
    return Summary(
        balance=balance,
        escaped=tuple(s for s in stories if s.escaped),
        confusion=_count(stories, lambda s: s.true_label),
        severities=_count(stories, lambda s: s.true_severity.value),
        named=_count([s for s in stories if s.named], lambda s: s.named),
        frames_per_s=round(len(stories) / run_s, 2) if run_s > 0 else 0.0,
        latency_ms=_latencies(stories),
        auroc=_auroc(stories),
        verdicts=Verdicts.of(s.verdict for s in stories),
        beside=dict(beside or {}),
        extra=dict(extra or {}),
    )


def _auroc(stories: Sequence[PartStory]) -> float | None:
    """How well the scores tell good parts from the others; None unless there are both."""
    scored = [(s.score, s.true_label != GOOD) for s in stories if s.score is not None]
    if len({odd for _, odd in scored}) < 2:
        return None
    from lab.metrics import image_auroc  # scikit-learn takes a second to load

    return round(image_auroc(*zip(*scored, strict=True)), 4)


def _count(stories: Sequence[PartStory], key: Any) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for story in stories:
        table[key(story)][story.done] += 1
    return {label: dict(counts) for label, counts in sorted(table.items())}


def _latencies(stories: Sequence[PartStory]) -> dict[str, dict[str, float]]:
    by_stage: dict[str, list[float]] = defaultdict(list)
    for story in stories:
        if story.trigger_to_write_ms is not None:
            by_stage["trigger_to_write"].append(story.trigger_to_write_ms)
        for stage, ms in (story.decision.timings_ms if story.decision else {}).items():
            by_stage[stage].append(ms)
    return {
        stage: {"p50": round(percentile(v, 0.5), 1), "p99": round(percentile(v, 0.99), 1)}
        for stage, v in sorted(by_stage.items())
    }
