"""Few-shot naming, measured: exemplars and queries always show different parts.

Per seed and class, half of the parts (rounded down, at least one) may give exemplars, one picture
of each part first; every picture of the other parts is a query. Figures are means over seeds.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from lab.metrics import image_auroc
from lab.velm.fewshot_material import DRAWN, TAUGHT, Example, FewShotError
from lab.velm.fewshot_taught import TaughtRegions
from lab.velm.pipeline import in_turns
from lab.velm.severity import is_defect
from serving.naming.base import UNKNOWN
from serving.naming.prototypes import LEAST_KNOWN
from serving.naming.prototypes_model import Naming, PrototypeModel, fit
from streams.codes import Action
from streams.events import Classification, Inspection
from streams.ports import Policy, Situation

UNKNOWN_SHOTS: Final = 5


@dataclass(frozen=True)
class NamingFigures:
    """Naming at one number of shots."""

    shots: int
    accuracy: float
    """Macro over classes, the best class taken whether sure or not."""
    spread: float
    """Standard deviation over seeds."""
    shipped_accuracy: float
    """Macro over classes as the line answers: ``unknown`` counts as wrong."""
    refused: float
    """Share of queries answered ``unknown``."""
    wrong: float
    """Share of queries answered with a wrong class."""
    calibration_error: float
    """Mean gap between confidence and correctness in ten bins (Guo et al. 2017)."""
    by_class: Mapping[str, float]
    """Recall of each class, the best class taken."""
    actions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Class -> action -> share of its queries; empty without a policy."""
    escapes: float | None = None
    """Share of queries of severity defect that would pass; None without a policy."""


@dataclass(frozen=True)
class UnknownFigures:
    """Leave-one-class-out at five shots."""

    shots: int
    auroc: float
    """Known against unknown, mean over the hidden classes."""
    by_class: Mapping[str, float]
    acted_on: Mapping[str, float]
    """Share of the hidden class's queries named as a known class at the shipped threshold."""
    acted_on_mean: float
    known_refused: float
    """Share of the other classes' queries refused at the same threshold."""


@dataclass(frozen=True)
class FewShotFigures:
    """All figures under one source of regions."""

    masks: str
    seeds: int
    classes: tuple[str, ...]
    naming: tuple[NamingFigures, ...]
    unknown: UnknownFigures | None

    def as_json(self) -> dict[str, object]:
        """The figures as JSON values, rounded to four decimals."""
        rounded: dict[str, Any] = json.loads(
            json.dumps(asdict(self)), parse_float=lambda text: round(float(text), 4)
        )
        return rounded


def measure(
    examples: Sequence[Example],
    masks: str,
    shots: Sequence[int] = (1, 3, 5),
    seeds: int = 20,
    policy: Policy | None = None,
    taught: TaughtRegions | None = None,
) -> FewShotFigures:
    """Naming at each number of shots, and ``unknown`` by leaving each class out.

    Args:
        examples: every anomalous picture.
        masks: where regions come from, one of ``PROTOCOLS``.
        shots: examples of each class.
        seeds: episodes.
        policy: whose actions are counted.
        taught: outlines the queries, for the protocol ``taught``.

    Raises:
        FewShotError: a class with fewer than two parts, or regions from ``masks`` are absent.
    """
    source = DRAWN if masks == TAUGHT else masks
    chosen = [e for e in examples if source in e.vectors]
    if not chosen:
        raise FewShotError(f"no regions from {masks!r}: train or name an expert (--artifact)")
    table = _Table(chosen, source, taught if masks == TAUGHT else None)
    naming = tuple(_naming(table, k, seeds, policy) for k in shots)
    unknown = _unknown(table, seeds) if len(table.classes) > 2 else None
    return FewShotFigures(masks, seeds, table.classes, naming, unknown)


class _Table:
    """The examples as arrays."""

    def __init__(
        self, examples: Sequence[Example], masks: str, regions: TaughtRegions | None = None
    ) -> None:
        self.examples, self.masks, self._regions = tuple(examples), masks, regions
        self.vectors = np.array([e.vectors[masks] for e in examples], np.float32)
        self.taught = np.array([e.taught[masks] for e in examples], np.float32)
        self.labels = np.array([e.label for e in examples])
        self.parts = np.array([e.part for e in examples])
        self.classes = tuple(sorted(set(self.labels.tolist())))
        for name in self.classes:
            if len(set(self.parts[self.labels == name])) < 2:
                raise FewShotError(f"class {name!r} has one part; 2 are needed")

    def episode(self, seed: int, shots: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of exemplars and of queries."""
        rng = np.random.default_rng(seed)
        exemplars: list[int] = []
        queries: list[int] = []
        for name in self.classes:
            ours = np.flatnonzero(self.labels == name)
            parts = rng.permutation(sorted(set(self.parts[ours])))
            taught = parts[: max(1, len(parts) // 2)]
            piles = [rng.permutation(ours[self.parts[ours] == part]).tolist() for part in taught]
            exemplars += in_turns(piles)[:shots]
            queries += ours[~np.isin(self.parts[ours], taught)].tolist()
        return np.array(exemplars), np.array(queries)

    def model(self, exemplars: np.ndarray) -> PrototypeModel:
        """Fitted as the line fits it."""
        labels, parts = self.labels[exemplars].tolist(), self.parts[exemplars].tolist()
        return fit(self.taught[exemplars], labels, parts)

    def ask(self, exemplars: np.ndarray, queries: np.ndarray) -> list["_Answer"]:
        """One answer per query by a classifier, and an expert where it is taught, of exemplars."""
        model = self.model(exemplars)
        if self._regions is None:
            seen = {int(i): self.examples[i].inspections[self.masks] for i in queries}
            vectors = {int(i): self.vectors[i] for i in queries}
        else:
            seen = self._regions.inspections(exemplars, queries)
            vectors = {i: self._regions.vector(i, inspection) for i, inspection in seen.items()}
        answers = []
        for i in queries.tolist():
            naming = model.name(vectors[i])
            if naming is not None:
                answers.append(_Answer(str(self.labels[i]), naming, seen[i]))
        return answers


@dataclass(frozen=True)
class _Answer:
    """What was answered of one query."""

    truth: str
    naming: Naming
    inspection: Inspection


def _naming(table: _Table, shots: int, seeds: int, policy: Policy | None) -> NamingFigures:
    rows: list[_Answer] = []
    accuracies = []
    for seed in range(seeds):
        answers = table.ask(*table.episode(seed, shots))
        truth = np.array([a.truth for a in answers])
        right = np.array([a.naming.best for a in answers]) == truth
        accuracies.append(_macro(right, truth, table.classes))
        rows += answers
    truth = np.array([a.truth for a in rows])
    right = np.array([a.naming.best == a.truth for a in rows])
    refused = np.array([a.naming.known < LEAST_KNOWN for a in rows])
    confidences = np.array([a.naming.confidence for a in rows])
    actions, escapes = _acted(table, rows, policy) if policy is not None else ({}, None)
    return NamingFigures(
        shots=shots,
        accuracy=float(np.mean(accuracies)),
        spread=float(np.std(accuracies)),
        shipped_accuracy=_macro(right & ~refused, truth, table.classes),
        refused=float(refused.mean()),
        wrong=float((~right & ~refused).mean()),
        calibration_error=calibration_error(confidences, right),
        by_class={c: float(right[truth == c].mean()) for c in table.classes},
        actions=actions,
        escapes=escapes,
    )


def _unknown(table: _Table, seeds: int) -> UnknownFigures:
    areas: dict[str, list[float]] = {c: [] for c in table.classes}
    acted: dict[str, list[float]] = {c: [] for c in table.classes}
    refused: list[float] = []
    for seed in range(seeds):
        exemplars, queries = table.episode(seed, UNKNOWN_SHOTS)
        for hidden in table.classes:
            answers = table.ask(exemplars[table.labels[exemplars] != hidden], queries)
            known = np.array([a.naming.known for a in answers])
            strange = np.array([a.truth == hidden for a in answers])
            areas[hidden].append(image_auroc(known, ~strange))
            acted[hidden].append(float((known[strange] >= LEAST_KNOWN).mean()))
            refused.append(float((known[~strange] < LEAST_KNOWN).mean()))
    by_class, acted_on = ({c: float(np.mean(v)) for c, v in d.items()} for d in (areas, acted))
    return UnknownFigures(
        shots=UNKNOWN_SHOTS,
        auroc=float(np.mean(list(by_class.values()))),
        by_class=by_class,
        acted_on=acted_on,
        acted_on_mean=float(np.mean(list(acted_on.values()))),
        known_refused=float(np.mean(refused)),
    )


def _acted(
    table: _Table, rows: Sequence[_Answer], policy: Policy
) -> tuple[dict[str, dict[str, float]], float]:
    """What the policy would do: shares of actions by true class, and of defects that pass."""
    counts = {name: Counter[str]() for name in table.classes}
    passed = []
    for row in rows:
        naming = row.naming
        given = Classification(
            class_name=UNKNOWN if naming.known < LEAST_KNOWN else naming.best,
            confidence=naming.confidence,
            classifier="prototypes",
        )
        situation = Situation(inspection=row.inspection, classification=given)
        action = policy.decide(situation).action
        counts[row.truth][action.value] += 1
        if is_defect(policy, row.inspection, row.truth):
            passed.append(action is Action.PASS)
    shares = {
        name: {action: n / found.total() for action, n in sorted(found.items())}
        for name, found in counts.items()
    }
    return shares, float(np.mean(passed)) if passed else 0.0


def calibration_error(confidences: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal width, 0 to 1."""
    which = np.minimum((confidences * 10).astype(int), 9)
    return float(np.abs(np.bincount(which, confidences - right)).sum() / len(right))


def _macro(right: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> float:
    return float(np.mean([right[truth == c].mean() for c in classes if (truth == c).any()]))
