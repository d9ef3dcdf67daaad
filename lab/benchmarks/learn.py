"""What reviews are worth: escapes on parts that nobody reviewed, before and after learning.

Half of each class's parts and some normal parts that training left out are reviewed; the expert
learns from them as ``andon learn`` does, with the outlines that it drew itself, and is judged on
all other parts of the test. The expert is trained once; the reviewed parts are drawn anew for each
split.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from andon.learning.candidate import BATCH, Apprentice, compare
from andon.learning.figures import JudgedTwice, Shares, by_class, shares
from andon.learning.lessons import ReviewedPicture
from lab.datasets.folders import GOOD, Sample, load_dataset
from lab.harness.learn import FALSE_ALARM_RATE, LearnRequest, learn
from lab.progress import Say
from serving.experts.artifact import load_expert
from serving.experts.expert import Expert
from serving.experts.images import decode_image
from serving.experts.options import Progress
from serving.naming.exemplars import ExemplarBundle
from serving.naming.features import DEFAULT_BACKBONE

FIRST_SEED = 1
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LearnBenchmark:
    """What ``andon benchmark learn`` was asked."""

    images: Path
    splits: int = 20
    normals: int = 40
    """Reviewed normal parts."""
    rate: float = FALSE_ALARM_RATE
    folder: Path = Path(".andon/learn-benchmark")
    smoke: bool = False
    """Train in seconds: whether everything runs, not how well."""


@dataclass(frozen=True)
class SplitFigures:
    """One draw of the reviewed parts."""

    seed: int
    reviewed: int
    """Photographs that were learned from."""
    shares: Shares
    by_class: dict[str, Shares]


def benchmark_learn(options: LearnBenchmark, say: Say, report: Progress) -> list[SplitFigures]:
    """Every split's figures on the parts that were not reviewed.

    Raises:
        AndonError: the folder has no ``parts.csv``, or is no data set.
    """
    source = load_dataset(options.images, "disjoint")
    train = [(sample.path, sample.part) for sample in source.train]
    request = LearnRequest(
        product=source.name,
        train=train,
        exemplars={},
        root=options.folder,
        false_alarm_rate=options.rate,
        smoke=options.smoke,
    )
    expert = load_expert(learn(request).untaught)
    apprentice = Apprentice(expert, ExemplarBundle(source.name, DEFAULT_BACKBONE), report)
    photographs = reviewable(expert, source.test, report)
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.splits):
        reviewed = draw(photographs, options.normals, seed)
        taught = [p for p in photographs if p.part in reviewed]
        others = [p for p in photographs if p.part not in reviewed]
        candidate = apprentice.learn(taught)
        verdicts, _ = compare(expert, candidate.expert, others, report)
        found.append(_figures(seed, len(candidate.learned), verdicts))
        say(f"split {len(found)} of {options.splits}: {told(found[-1].shares)}")
    return found


def reviewable(
    expert: Expert, samples: Sequence[Sample], report: Progress
) -> list[ReviewedPicture]:
    """The photographs as a person would have reviewed them: their class, the expert's outline."""
    pictures: list[ReviewedPicture] = []
    for start in range(0, len(samples), BATCH):
        some = [(s, s.path.read_bytes()) for s in samples[start : start + BATCH]]
        answers = expert.score([decode_image(body, expert.bit_depth) for _, body in some])
        for (sample, body), answer in zip(some, answers, strict=True):
            region = answer.region if answer.anomalous else None
            pictures.append(
                ReviewedPicture(
                    frame=str(sample.path),
                    part=sample.part,
                    at=_BEGIN + timedelta(seconds=len(pictures)),
                    class_name="" if sample.label == GOOD else sample.label,
                    image=body,
                    outline=None if region is None else region.mask,
                )
            )
        report("look", len(pictures), len(samples))
    return pictures


def draw(pictures: Sequence[ReviewedPicture], normals: int, seed: int) -> set[str]:
    """The parts that are reviewed; see ``half_of_the_parts``."""
    return half_of_the_parts([(p.part, p.class_name) for p in pictures], normals, seed)


def half_of_the_parts(named: Iterable[tuple[str, str]], normals: int, seed: int) -> set[str]:
    """Half of each class's parts, rounded up, and ``normals`` normal ones; one part is left.

    Args:
        named: part and class of each photograph; a normal one has no class.
    """
    by_class: dict[str, set[str]] = defaultdict(set)
    for part, name in named:
        by_class[name].add(part)
    rng = random.Random(seed)
    reviewed: set[str] = set()
    for name in sorted(by_class):
        parts = sorted(by_class[name])
        rng.shuffle(parts)
        count = (len(parts) + 1) // 2 if name else normals
        reviewed |= set(parts[: min(count, max(1, len(parts) - 1))])
    return reviewed


def told(found: Shares) -> str:
    """The figures of a split in words."""
    return (
        f"escapes {_percent(found.escapes_before)} -> {_percent(found.escapes_after)} of "
        f"{found.defects} defective parts, false alarms {_percent(found.alarms_before)} -> "
        f"{_percent(found.alarms_after)} of {found.normals}"
    )


def means(found: Sequence[SplitFigures]) -> dict[str, object]:
    """Means over the splits, as JSON values."""
    names = sorted({name for split in found for name in split.by_class})
    return {
        "splits": len(found),
        **_means([split.shares for split in found]),
        "by_class": {
            name: _means([s.by_class[name] for s in found if name in s.by_class]) for name in names
        },
    }


def _figures(seed: int, reviewed: int, verdicts: Sequence[JudgedTwice]) -> SplitFigures:
    return SplitFigures(seed, reviewed, shares(verdicts), by_class(verdicts))


def _means(found: Sequence[Shares]) -> dict[str, float | None]:
    rows = [one.as_json() for one in found]
    result: dict[str, float | None] = {}
    for name in rows[0] if rows else ():
        values = [value for row in rows if (value := row[name]) is not None]
        result[name] = round(sum(values) / len(values), 4) if values else None
    return result


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
