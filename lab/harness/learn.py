"""Before a run: train the expert on the plan's normals, teach the classifier its exemplars.

``python -m lab.harness.learn REQUEST`` does the work in a process of its own, so that the demo
never loads torch and Ctrl-C ends it like any other child.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.harness.plan import LinePlan

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from serving.experts.expert import Expert
    from serving.experts.types import Image

FALSE_ALARM_RATE = 0.03
"""Asked of the calibration: here an escape costs more than a part looked at twice."""


@dataclass(frozen=True)
class Learned:
    """Where the run's expert and exemplars are."""

    artifact: Path
    exemplars: Path | None
    reused: bool = False

    @property
    def digest(self) -> str:
        return self.artifact.name


def request_of(
    plan: LinePlan, artifacts: Path, exemplars: Path, rate: float = FALSE_ALARM_RATE
) -> dict[str, Any]:
    """What the child is asked to do, as JSON values; ``rate`` of false alarms in (0, 1)."""
    return {
        "product": plan.product,
        "train": [[str(p.path), p.group] for p in plan.train],
        "exemplars": {
            label: [[str(p.path), p.group] for p in found]
            for label, found in plan.exemplars.items()
        },
        "artifacts": str(artifacts),
        "exemplars_root": str(exemplars),
        "false_alarm_rate": rate,
    }


def fingerprint(request: dict[str, Any]) -> str:
    """Of the pictures' bytes and of the code that learns: the same means nothing to learn anew."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode())
    files = [name for name, _ in request["train"]]
    files += [name for found in request["exemplars"].values() for name, _ in found]
    root = Path(__file__).parents[2] / "serving"
    sources = [*root.glob("experts/**/*.py"), *root.glob("classifiers/**/*.py")]
    for path in [*map(Path, files), *sorted(sources)]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def remembered(memory: Path, request: dict[str, Any]) -> Learned | None:
    """What an earlier run learned from exactly these pictures, if it is still there."""
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        return None
    if known.get("fingerprint") != fingerprint(request):
        return None
    learned = parse(known, reused=True)
    return learned if (learned.artifact / "manifest.json").is_file() else None


def parse(result: dict[str, Any], reused: bool = False) -> Learned:
    """The child's answer."""
    exemplars = result.get("exemplars")
    return Learned(Path(result["artifact"]), Path(exemplars) if exemplars else None, reused)


def learn(request: dict[str, Any]) -> dict[str, Any]:
    """Train and teach; returns the answer that ``parse`` reads."""
    from andon.cli.expert_options import expert_errors, stage_bars
    from serving.experts.artifact import load_expert, save_artifact
    from serving.experts.training import TrainOptions, train
    from serving.naming.teaching import Lesson, teach_product

    product = request["product"]
    groups = {Path(name): group for name, group in request["train"]}
    with expert_errors(), stage_bars() as report:
        options = TrainOptions(false_alarm_rate=request["false_alarm_rate"])
        trained = train(product, list(groups), options, groups, report)
        artifact = Path(request["artifacts"]) / product
        artifact /= save_artifact(trained, Path(request["artifacts"]))
        expert = load_expert(artifact)
        lessons = [
            Lesson(label, Path(name).read_bytes(), part=group, name=name)
            for label, found in request["exemplars"].items()
            for name, group in found
        ]
        bundle = None
        if lessons:
            report("teach", 0, 1)
            bundle = teach_product(
                Path(request["exemplars_root"]),
                product,
                lessons,
                normals=[path.read_bytes() for path in groups],
                normal_parts=list(groups.values()),
                outline=partial(_outline, expert),
                afresh=True,
            )
            report("teach", 1, 1)
    return {
        "artifact": str(artifact),
        "exemplars": str(bundle) if bundle else None,
        "fingerprint": fingerprint(request),
    }


def _outline(expert: "Expert", image: "Image") -> "npt.NDArray[np.bool_] | None":
    region = expert.score([image])[0].region
    return region.mask if region is not None else None


if __name__ == "__main__":
    answer = learn(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(answer))
