"""VELM's pipeline over a labelled data set: what is run, and on what.

1. ``pipeline_inspect``: an expert per object scores and outlines every test picture.
2. ``pipeline_naming``: what the gate lets through is named by a classifier.
3. ``pipeline_figures``: the paper's figures, time, money and escapes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self, TypeVar

import numpy as np

from lab.datasets.folders import Dataset, Sample
from lab.velm.descriptions import Described
from serving.naming.settings import CascadeSettings, EndpointSettings, EndpointZone, VelmSettings
from streams.errors import AndonError

T = TypeVar("T")


class PipelineError(AndonError):
    """The pipeline cannot be run as asked, or was stopped; the message says what to do."""


@dataclass(frozen=True)
class Item:
    """One test picture."""

    key: str
    """``<object>_<class>_<nnn>``, as in the released predictions."""
    sample: Sample
    described: Described

    @property
    def truth(self) -> str:
        """The display name of its class; ``good`` for a normal picture."""
        return self.described.label_of(self.sample.label)


@dataclass(frozen=True)
class ObjectRun:
    """One object: its pictures and its words."""

    name: str
    dataset: Dataset
    described: Described
    items: tuple[Item, ...] = ()
    """The test pictures to be scored."""
    exemplars: tuple[Item, ...] = ()
    """Labelled pictures that teach the local classifier; their parts are not scored."""

    @classmethod
    def of(cls, name: str, dataset: Dataset, described: Described) -> Self:
        """All test pictures in their order, numbered within their class."""
        counts = Counter[str]()
        items = []
        for sample in dataset.test:
            key = f"{name}_{sample.label}_{counts[sample.label]:03d}"
            items.append(Item(key, sample, described))
            counts[sample.label] += 1
        return cls(name, dataset, described, tuple(items))


@dataclass(frozen=True)
class PipelineOptions:
    """What to run. The defaults are the line's; ``velm.protocol`` makes them the paper's."""

    classifier: Literal["prototypes", "velm", "cascade"] = "prototypes"
    regions: Literal["expert", "oracle"] = "expert"
    """``oracle``: masks are the regions and the truth is the gate (paper, section 4.2.2)."""
    gate: bool = True
    """False: every picture is named, also where the expert sees nothing."""
    velm: VelmSettings = field(default_factory=VelmSettings)
    endpoint: EndpointSettings | None = None
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    """The cascade's settings, of which only the threshold of ``prototypes`` is used."""
    shots: int = 5
    """Exemplars per class for the local classifier, taken from the test set and not scored."""
    seed: int = 0
    """The seed of the exemplars and of the random references."""
    expert: str = "patchcore"
    false_alarm_rate: float = 0.03
    """The rate that is asked of the gate. A false alarm costs a call, not a part."""
    experts: Path | None = None
    """Folder of trained experts, ``<object>/<version>``; None trains and keeps them."""

    @property
    def asks_endpoint(self) -> bool:
        """Whether a language model is asked at all."""
        return self.classifier != "prototypes"

    @property
    def asked_endpoint(self) -> EndpointSettings | None:
        """The endpoint, where a language model is asked."""
        return self.endpoint if self.asks_endpoint else None

    @property
    def teaches(self) -> bool:
        """Whether labelled exemplars are needed."""
        return self.classifier != "velm"


def check_options(options: PipelineOptions, runs: Sequence[ObjectRun]) -> None:
    """Refuse what would fail later or mean nothing.

    Raises:
        PipelineError: says which option, and why.
    """
    for name, value, known in (
        ("classifier", options.classifier, ("prototypes", "velm", "cascade")),
        ("regions", options.regions, ("expert", "oracle")),
    ):
        if value not in known:
            raise PipelineError(f"{name} {value!r} is not among {', '.join(known)}")
    if options.regions == "oracle" and not options.gate:
        raise PipelineError(
            "gate=false with --regions oracle: a mask drawn on anomalous pictures alone tells the "
            "classifier which pictures are normal; use --regions expert"
        )
    if options.asks_endpoint:
        if options.endpoint is None:
            raise PipelineError(
                f"--classifier {options.classifier} needs an endpoint: --twin for the local twin, "
                "--endpoint URL and --model, or ANDON_CLASSIFIER__ENDPOINTS and --endpoint NAME"
            )
        _check_egress(options.endpoint, runs)
    if options.regions == "oracle":
        _check_masks(runs)


def limit_run(run: ObjectRun, most: int | None) -> ObjectRun:
    """At most ``most`` scored pictures of each class, chosen by a hash of the file's name."""
    if most is None:
        return run
    chosen = replace(run.dataset, train=(), test=tuple(i.sample for i in run.items)).limited(most)
    kept = {s.path for s in chosen.test}
    return replace(run, items=tuple(i for i in run.items if i.sample.path in kept))


def split_exemplars(run: ObjectRun, shots: int, seed: int) -> ObjectRun:
    """Take ``shots`` exemplars of each class from half of its parts; score the other parts.

    A picture without a part in ``parts.csv`` is a part of its own. Normal pictures are all scored.

    Raises:
        PipelineError: a class with a single part.
    """
    rng = np.random.default_rng(seed)
    exemplars: list[Item] = []
    scored = [i for i in run.items if not i.sample.anomalous]
    for label in sorted({i.sample.label for i in run.items if i.sample.anomalous}):
        ours = [i for i in run.items if i.sample.anomalous and i.sample.label == label]
        parts = sorted({i.sample.part for i in ours})
        if len(parts) < 2:
            raise PipelineError(
                f"{run.name}: class {label!r} shows one part only; the local classifier needs "
                "exemplars and pictures of other parts (two at least): use --classifier velm"
            )
        taught = [parts[i] for i in rng.permutation(len(parts))[: max(1, len(parts) // 2)]]
        exemplars += in_turns([[i for i in ours if i.sample.part == part] for part in taught])[
            :shots
        ]
        scored += [i for i in ours if i.sample.part not in taught]
    order = {item.key: n for n, item in enumerate(run.items)}
    scored.sort(key=lambda i: order[i.key])
    return replace(run, items=tuple(scored), exemplars=tuple(exemplars))


def in_turns(piles: Sequence[Sequence[T]]) -> list[T]:
    """One of each pile first, then a second of each: as different as the piles allow.

    >>> in_turns([["a1", "a2", "a3"], ["b1"]])
    ['a1', 'b1', 'a2', 'a3']
    """
    deepest = max(len(pile) for pile in piles)
    return [pile[turn] for turn in range(deepest) for pile in piles if turn < len(pile)]


def _check_egress(endpoint: EndpointSettings, runs: Sequence[ObjectRun]) -> None:
    if endpoint.zone is not EndpointZone.EXTERNAL:
        return
    kept = [r.name for r in runs if r.described.texts.egress == "none"]
    if kept:
        raise PipelineError(
            f"endpoint {endpoint.name!r} is external and no picture of {', '.join(kept)} may leave "
            "(egress 'none'): say --egress full for a public data set, or change the policy"
        )


def _check_masks(runs: Sequence[ObjectRun]) -> None:
    for run in runs:
        bare = [i.sample for i in (*run.items, *run.exemplars) if i.sample.anomalous]
        absent = [s.path for s in bare if s.mask is None or not s.mask.is_file()]
        if absent:
            raise PipelineError(
                f"--regions oracle needs a mask for every anomalous picture; {run.name} lacks "
                f"{len(absent)}, the first for {absent[0]} (MVTec: ground_truth/<class>/"
                f"{absent[0].stem}_mask.png, VisA: the split's column mask)"
            )
