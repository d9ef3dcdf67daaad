"""Prepare a run: train the expert on the plan's normals, teach the classifier its exemplars.

``python -m lab.harness.learn REQUEST`` does the work in a process of its own, so that the demo
never loads torch and Ctrl-C ends it like any other child.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from lab.harness.line import SERVE_TEMPLATE
from lab.harness.plan import LinePlan
from serving.bundles import product_path
from serving.ray.deploy import Config, serve_config

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from serving.experts.options import Progress
    from serving.experts.types import Image

FALSE_ALARM_RATE = 0.03
"""Asked of the expert's calibration where its alarms stop parts: an escape costs more than a part
looked at twice."""
SEND_RATE = 0.2
"""Asked of it where the classifier behind it looks closer and the policy says what may stop."""


class LearnRequest(BaseModel):
    """What is to be learned: photographs with the parts that they show."""

    product: str
    train: list[tuple[Path, str]]
    exemplars: dict[str, list[tuple[Path, str, Path | None]]]
    """By class: photograph, part, and the picture of its mask where somebody drew one."""
    root: Path
    """Where the expert (``artifacts``) and the exemplars (``exemplars``) are kept."""
    false_alarm_rate: float
    smoke: bool = False
    """Train in seconds: whether everything runs, not how well."""

    @property
    def fingerprint(self) -> str:
        """A hash of the pictures and of the code that learns: the same means nothing to learn."""
        shown = [files for found in self.exemplars.values() for files in found]
        taught = [path for image, _, mask in shown for path in (image, mask) if path is not None]
        stated = self.model_dump_json()
        return _fingerprint(stated, [*self._normals, *taught], "experts/**/*.py", "naming/**/*.py")

    @property
    def untaught_fingerprint(self) -> str:
        """The same of the expert before it is taught: whichever exemplars are chosen."""
        stated = self.model_dump_json(exclude={"exemplars"})
        return _fingerprint(stated, self._normals, "experts/**/*.py")

    @property
    def _normals(self) -> list[Path]:
        return [path for path, _ in self.train]


def _fingerprint(stated: str, pictures: Sequence[Path], *code: str) -> str:
    digest = hashlib.sha256(stated.encode())
    serving = Path(__file__).parents[2] / "serving"
    sources = [path for pattern in code for path in serving.glob(pattern)]
    for path in [*pictures, *sorted(sources)]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class Learned(BaseModel):
    """Where the run's expert and exemplars are, and what they were learned from."""

    product: str
    root: Path
    artifact: Path
    """The expert that the line runs."""
    untaught: Path
    """The expert of the normals alone."""
    exemplars: Path | None
    fingerprint: str

    @property
    def digest(self) -> str:
        return self.artifact.name

    def serve_config(self, replicas: int = 1, **args: object) -> Config:
        """The configuration of Serve with this expert and these exemplars.

        Args:
            replicas: of each deployment; one where none is killed and the machine has other work.
            args: further arguments of the application, such as ``vision`` or ``classifier``.
        """
        root = self.root.resolve()
        places: dict[str, object] = {
            "artifacts": str(root / "artifacts"),
            "exemplars": str(root / "exemplars"),
        }
        exemplars = {self.product: self.exemplars.name} if self.exemplars else {}
        return serve_config(
            SERVE_TEMPLATE,
            {self.product: self.digest},
            exemplars,
            {**places, **args},
            num_replicas=replicas,
        )


def request_of(plan: LinePlan, root: Path, rate: float = FALSE_ALARM_RATE) -> LearnRequest:
    """Learn the plan's photographs; ``rate`` of false alarms in (0, 1)."""
    return LearnRequest(
        product=plan.product,
        train=[(p.path, p.part) for p in plan.train],
        exemplars={
            label: [(p.path, p.part, p.mask) for p in found]
            for label, found in plan.exemplars.items()
        },
        root=root,
        false_alarm_rate=rate,
    )


def remembered(memory: Path, request: LearnRequest) -> Learned | None:
    """What an earlier run learned from exactly these pictures, if it is still there."""
    try:
        known = Learned.model_validate_json(memory.read_text())
    except (OSError, ValueError):
        return None
    there = (known.artifact / "manifest.json").is_file()
    return known if there and known.fingerprint == request.fingerprint else None


def learn(request: LearnRequest) -> Learned:
    """Train the expert, unless it was trained on the same normals before; teach the classifier."""
    from andon.cli.experts import stage_bars

    with stage_bars() as report:
        artifact = untaught = _untaught(request, report)
        exemplars = None
        if any(request.exemplars.values()):
            artifact = _taught_expert(request, untaught, report)
            report("teach", 0, 1)
            exemplars = _taught_classifier(request, artifact)
            report("teach", 1, 1)
    return Learned(
        product=request.product,
        root=request.root,
        artifact=artifact,
        untaught=untaught,
        exemplars=exemplars,
        fingerprint=request.fingerprint,
    )


def _taught_expert(request: LearnRequest, untaught: Path, report: "Progress") -> Path:
    """The artifact of the untaught expert with one more head, from the exemplars."""
    from serving.experts.artifact import load_expert, save_artifact
    from serving.experts.composed import ComposedExpert
    from serving.experts.images import read_image
    from serving.experts.teaching import LabelledPicture, teach

    expert = load_expert(untaught)
    assert isinstance(expert, ComposedExpert)
    pictures = []
    for label, found in request.exemplars.items():
        for path, part, mask in found:
            image = read_image(path, expert.bit_depth)
            pictures.append(LabelledPicture(image, label, _drawn_mask(mask, image), part))
    return untaught.parent / save_artifact(teach(expert, pictures, report), untaught.parents[1])


def _untaught(request: LearnRequest, report: "Progress") -> Path:
    """The artifact of the request's normals: remembered under their fingerprint, or trained."""
    from lab.datasets.made_up import cheaply
    from serving.experts.artifact import save_artifact
    from serving.experts.training import TrainOptions, train

    artifacts = product_path(request.root / "artifacts", request.product)
    note = request.root / "untaught" / request.untaught_fingerprint
    if note.is_file() and (artifacts / note.read_text() / "manifest.json").is_file():
        return artifacts / note.read_text()
    groups = dict(request.train)
    options = TrainOptions(false_alarm_rate=request.false_alarm_rate)
    if request.smoke:
        options = cheaply(options)
    known = {path: part for path, part in groups.items() if part != str(path)}
    trained = train(request.product, list(groups), options, known, report)
    digest = save_artifact(trained, artifacts.parent)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(digest)
    return artifacts / digest


def _taught_classifier(request: LearnRequest, artifact: Path) -> Path:
    """The exemplars' bundle; the expert outlines what nobody drew and chooses the hard normals."""
    from serving.experts.artifact import load_expert
    from serving.experts.composed import ComposedExpert
    from serving.experts.images import read_image
    from serving.naming.teaching import Lesson, outliner, teach_product

    expert = load_expert(artifact)
    lessons = [
        Lesson(label, path.read_bytes(), _drawn_mask(mask, read_image(path)), group, str(path))
        for label, found in request.exemplars.items()
        for path, group, mask in found
    ]
    return teach_product(
        request.root / "exemplars",
        request.product,
        lessons,
        normals=[path.read_bytes() for path, _ in request.train],
        normal_parts=[group if group != str(path) else "" for path, group in request.train],
        outline=outliner(artifact),
        expert=expert if isinstance(expert, ComposedExpert) else None,
    )


def _drawn_mask(path: Path | None, image: "Image") -> "npt.NDArray[np.bool_] | None":
    """What somebody marked on the photograph; None where nobody did, or marked nothing."""
    from lab.datasets.masks import read_mask

    if path is None:
        return None
    mask = read_mask(path, *image.shape[:2])
    return mask if mask.any() else None


if __name__ == "__main__":
    answer = learn(LearnRequest.model_validate_json(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(answer.model_dump_json())
