"""Table 4 of VELM: normal, negligible anomaly or defect, when 30 % of the classes are negligible.

The authors drew the negligible classes with five unpublished seeds. Here the expectation over all
designations is exact, and the distribution of five-seed means is sampled beside it.
"""

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.velm.predictions import Pair, interval
from policies.review.answer_files import GOOD
from streams.codes import Severity
from streams.events import Classification, Inspection
from streams.ports import Policy, Situation

SEVERITIES = ("normal", "negligible", "defect")
CELLS = (*zip(SEVERITIES, SEVERITIES, strict=True), ("defect", "normal"), ("defect", "negligible"))
"""True and answered severity of each column of a table: right answers, then escapes."""
Table = npt.NDArray[np.float64]
"""Percent of each true severity's images, one row per designation; NaN where there are none."""
FEW_CLASSES = 4
"""Up to this many anomaly classes, one is negligible; above, two (the released rule)."""


@dataclass(frozen=True)
class SeverityScores:
    """Shares in percent of each severity's images that were answered with that severity."""

    mean: dict[str, float]
    objects: dict[str, dict[str, float]]
    five_seed_means: dict[str, dict[str, float]]
    """Mean, 2.5 % and 97.5 % quantile of the means over ``rounds`` random designations."""
    escapes: dict[str, float]
    """Percent of defect images answered good (``gate``) or negligible (``classifier``)."""


def score_severity(pairs: Mapping[str, Sequence[Pair]], rounds: int = 2000) -> SeverityScores:
    """Exact expectation per object, then the mean over objects; escapes beside it."""
    tables = {name: designations(answers) for name, answers in sorted(pairs.items())}
    expected = {name: _expect(table) for name, table in tables.items()}
    mean = np.mean(list(expected.values()), axis=0)
    return SeverityScores(
        mean=_named(mean),
        objects={name: _named(row) for name, row in expected.items()},
        five_seed_means=_seed_means(list(tables.values()), rounds),
        escapes={"gate": float(mean[3]), "classifier": float(mean[4])},
    )


def designations(pairs: Sequence[Pair]) -> Table:
    """One object's shares under every choice of negligible classes that the rule allows."""
    classes = sorted({truth for truth, _ in pairs} - {GOOD})
    chosen = itertools.combinations(classes, negligible_of(len(classes)))
    return np.array([_shares(pairs, frozenset(names)) for names in chosen])


def negligible_of(classes: int) -> int:
    """How many of an object's anomaly classes the released rule calls negligible."""
    return min(1 if classes <= FEW_CLASSES else 2, classes)


def is_defect(policy: Policy, inspection: Inspection, label: str) -> bool:
    """Whether the policy calls a picture of a class, rightly and surely named, a defect."""
    truth = Classification(class_name=label, confidence=1.0, classifier="truth")
    situation = Situation(inspection=inspection, classification=truth)
    return policy.decide(situation).severity is Severity.DEFECT


def _shares(pairs: Sequence[Pair], negligible: frozenset[str]) -> list[float]:
    def severity(name: str) -> str:
        if name == GOOD:
            return "normal"
        return "negligible" if name in negligible else "defect"

    counts = Counter((severity(truth), severity(answer)) for truth, answer in pairs)
    totals = Counter(severity(truth) for truth, _ in pairs)
    return [100 * counts[cell] / (totals[cell[0]] or np.nan) for cell in CELLS]


def _expect(table: Table) -> Table:
    """The mean over the designations (second axis from the end) that have such images, or 0."""
    present = (~np.isnan(table)).sum(axis=-2)
    return np.asarray(np.nansum(table, axis=-2) / np.maximum(present, 1))


def _named(shares: Table) -> dict[str, float]:
    return dict(zip(SEVERITIES, shares.tolist(), strict=False))


def _seed_means(tables: Sequence[Table], rounds: int) -> dict[str, dict[str, float]]:
    rng = random.Random(0)
    drawn = [[rng.choices(table, k=5) for table in tables] for _ in range(rounds)]
    means = _expect(np.array(drawn)).mean(axis=1)
    found = {}
    for name, values in zip(SEVERITIES, means.T.tolist(), strict=False):
        low, high = interval(values)
        found[name] = {"mean": sum(values) / rounds, "low": low, "high": high}
    return found
