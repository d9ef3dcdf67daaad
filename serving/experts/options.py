"""The options of training: every tunable with its default, unit and range."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from serving.experts.backbone import DEFAULT_BACKBONE, DEFAULT_SIZE
from serving.experts.ddad.options import DdadOptions
from serving.experts.errors import TrainingError, check_range
from serving.experts.heads import HEADS
from serving.experts.runtime import Choice, choose

FEWEST_IMAGES = 12
Progress = Callable[[str, int, int], None]
"""Called with the name of a step of training, units done and units in all."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of ``train``. The defaults suit a demo on two cores."""

    expert: str = "patchcore"
    """Kind of expert, ``patchcore`` or ``ddad``."""
    false_alarm_rate: float = 0.01
    """Share of normal parts that may be called anomalous, (0, 0.5]."""
    backbone: str = DEFAULT_BACKBONE
    size: int = DEFAULT_SIZE
    """Side of the network's input, pixels, a multiple of 32 in 64..1024."""
    tiles: bool = False
    """Cut images into overlapping tiles of ``size``: small defects on large photographs."""
    heads: tuple[str, ...] = tuple(HEADS)
    """Candidates; training chooses among them."""
    coreset: int = 768
    """Patches in PatchCore's memory bank."""
    patches: int = 30_000
    """Patches, drawn at random, that the coreset is chosen from; 0 is all of them."""
    reweight: int = 0
    """Neighbours of PatchCore's score re-weighting; 0 is off."""
    folds: int = 3
    """Folds of the hold-out that choices are made on, at least 2."""
    calibration_folds: int = 8
    """Folds of the hold-out that the threshold comes from, at least 2; fewer where there are fewer
    groups. Heads fitted on 2/3 of the parts find the rest odder than the final heads will: with 3
    folds the threshold would stand too high."""
    most_images: int = 1500
    """Normals fitted on; of more, whole groups are drawn."""
    synthetic: int = 200
    """Synthetic anomalies, and exposure-changed normals, that choices are made on."""
    exposure_change: float | None = None
    """Change of gain (share) under which a normal part stays normal; 0: exposure is a defect.
    None is half of the spread seen among the normals, 0.12 at most."""
    bit_depth: int | None = None
    """Bits of the camera's pixels in 16-bit files, 8 to 16; None counts them over all images."""
    seed: int = 0
    runtime: str = "auto"
    device: str = "auto"
    threads: int | None = None
    ddad: DdadOptions | None = None
    """The options of the ``ddad`` expert alone; None is the published recipe."""

    def __post_init__(self) -> None:
        """Raises ``TrainingError`` naming the option that is out of range."""
        if not 0 < self.false_alarm_rate <= 0.5:
            raise TrainingError(f"false_alarm_rate {self.false_alarm_rate} is not in (0, 0.5]")
        if self.size % 32 or not 64 <= self.size <= 1024:
            raise TrainingError(f"size {self.size} is not a multiple of 32 in 64..1024")
        unknown = [h for h in self.heads if h not in HEADS]
        if unknown or not self.heads:
            raise TrainingError(f"heads {unknown} are not among {', '.join(HEADS)}")
        check_range(self, 2, math.inf, "folds", "calibration_folds")
        check_range(self, 16, math.inf, "coreset")
        check_range(self, 0, math.inf, "patches", "reweight")
        check_range(self, 20, math.inf, "synthetic")
        check_range(self, FEWEST_IMAGES, math.inf, "most_images")
        if self.bit_depth is not None:
            check_range(self, 8, 16, "bit_depth")
        if self.exposure_change is not None:
            check_range(self, 0, 1, "exposure_change")

    def choose_f32(self) -> Choice:
        """Where training runs, always in f32."""
        return choose(self.runtime, "f32", self.device, self.threads)

    def head_config(self, kind: str) -> dict[str, int]:
        """What one kind of head is fitted with."""
        if kind == "patchcore":
            return {"coreset": self.coreset, "patches": self.patches, "reweight": self.reweight}
        return {}
