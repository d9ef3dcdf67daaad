"""What is asked of the expert's benchmark rarely: the options of ``--set``."""

from typing import Literal

from pydantic import Field

from andon.cli.options import MoreOptions


class ExpertOptions(MoreOptions):
    """The options of ``--set``."""

    runtime: str = Field("auto", description="auto, torch or openvino.")
    threads: int | None = Field(None, ge=1, description="CPU threads; without it, all.")
    seconds: float = Field(3.0, gt=0, description="Seconds of timing per batch size.")
    peer_images: int | None = Field(
        None, ge=1, description="Fit the peer on so many normals only; without it, on all."
    )
    peer_bank: Literal["random", "coreset"] = Field(
        "random",
        description="random: as many of its patches as its coreset would keep, which takes the "
        "same time to search; coreset: its own greedy selection, hours on a whole data set.",
    )
    peer_test: int = Field(
        30, ge=1, description="Test images per class that the peer's AUROC is taken from."
    )
