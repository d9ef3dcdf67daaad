"""Table 4 of VELM: normal, negligible anomaly or defect, when 30 % of the classes are negligible.

The authors drew the negligible classes with five unpublished seeds. Here the expectation over all
designations is exact, and the distribution of five-seed means is sampled beside it.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.velm.predictions import GOOD, Pair

SEVERITIES = ("normal", "negligible", "defect")
FEW_CLASSES = 4
"""Up to this many anomaly classes, one is negligible; above, two (the released rule)."""


@dataclass(frozen=True)
class SeverityScores:
    """Shares in percent of each severity's images that were answered with that severity."""

    mean: dict[str, float]
    objects: dict[str, dict[str, float]]
    seeds: dict[str, dict[str, float]]
    """Mean, 2.5 % and 97.5 % quantile of the means over ``rounds`` random designations."""
    escapes: dict[str, float]
    """Percent of defect images answered good (``gate``) or negligible (``classifier``)."""

    def as_json(self) -> dict[str, object]:
        """Plain values for ``--json``."""
        return {
            "mean": self.mean,
            "objects": self.objects,
            "five_seed_means": self.seeds,
            "escapes": self.escapes,
        }


def negligible_count(classes: int) -> int:
    """How many of an object's anomaly classes the 30 % rule makes negligible."""
    return 1 if classes <= FEW_CLASSES else 2


def score_severity(
    pairs: Mapping[str, Sequence[Pair]], rounds: int = 2000, seeds_per_round: int = 5, seed: int = 0
) -> SeverityScores:
    """Exact expectation per object, then the mean over objects; escapes beside it."""
    tables = {name: designations(answers) for name, answers in sorted(pairs.items())}
    objects = {name: _expect(table, SEVERITIES) for name, table in tables.items()}
    escapes = [_expect(table, ("gate", "classifier")) for table in tables.values()]
    return SeverityScores(
        mean=_mean(list(objects.values()), SEVERITIES),
        objects=objects,
        seeds=_seed_means(tables, rounds, seeds_per_round, seed),
        escapes=_mean(escapes, ("gate", "classifier")),
    )


Table = list[dict[str, float]]
"""One row of shares per designation."""


def designations(pairs: Sequence[Pair]) -> Table:
    """One object's shares under every choice of negligible classes that the rule allows."""
    classes = sorted({truth for truth, _ in pairs} - {GOOD})
    chosen = itertools.combinations(classes, min(negligible_count(len(classes)), len(classes)))
    return [_shares(pairs, frozenset(negligible)) for negligible in chosen]


def _shares(pairs: Sequence[Pair], negligible: frozenset[str]) -> dict[str, float]:
    def severity(name: str) -> str:
        if name == GOOD:
            return "normal"
        return "negligible" if name in negligible else "defect"

    shares: dict[str, float] = {}
    for wanted in SEVERITIES:
        answers = [severity(answer) for truth, answer in pairs if severity(truth) == wanted]
        if answers:
            shares[wanted] = 100 * answers.count(wanted) / len(answers)
        if answers and wanted == "defect":
            shares["gate"] = 100 * answers.count("normal") / len(answers)
            shares["classifier"] = 100 * answers.count("negligible") / len(answers)
    return shares


def _expect(table: Table, names: Sequence[str]) -> dict[str, float]:
    expected = {}
    for name in names:
        values = [row[name] for row in table if name in row]
        expected[name] = sum(values) / len(values) if values else 0.0
    return expected


def _mean(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def _seed_means(
    tables: Mapping[str, Table], rounds: int, seeds: int, seed: int
) -> dict[str, dict[str, float]]:
    rng = random.Random(seed)
    drawn: dict[str, list[float]] = {name: [] for name in SEVERITIES}
    for _ in range(rounds):
        rows = [_expect(rng.choices(table, k=seeds), SEVERITIES) for table in tables.values()]
        for name, value in _mean(rows, SEVERITIES).items():
            drawn[name].append(value)
    return {
        name: {
            "mean": sum(values) / len(values),
            "low": sorted(values)[int(0.025 * len(values))],
            "high": sorted(values)[int(0.975 * (len(values) - 1))],
        }
        for name, values in drawn.items()
    }
