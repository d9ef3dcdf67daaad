"""A benchmark of a vision expert: which one, how fast it is, and a peer beside it."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from andon.cli.experts import ExpertCommandError, find_artifact
from lab.benchmarks.expert import Report, score_set
from lab.benchmarks.expert_options import ExpertOptions
from lab.datasets.folders import Dataset, load_dataset
from lab.datasets.made_up import cheaply
from lab.datasets.textile import textile_dataset
from lab.metrics import image_auroc
from lab.peers import anomalib_peer
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.images import read_image
from serving.experts.speed import flops_per_image, matrix_peak, measure_speed
from serving.experts.training import TrainOptions, train

BATCHES = (1, 8, 16)
_ROUNDS = 3
_PEER_BATCHES = (1, 8)
_PEER_REPORT = 10
"""Images between two steps of the peer's progress bar."""


class Where(NamedTuple):
    """What an expert runs on."""

    runtime: str
    precision: str
    device: str
    threads: int | None


def loaded(artifact: Path, where: Where) -> ComposedExpert:
    """The artifact, loaded as it would be in production.

    Raises:
        ExpertCommandError: it is of a kind that is not measured here.
    """
    expert = load_expert(artifact, *where)
    if not isinstance(expert, ComposedExpert):
        raise ExpertCommandError(
            f"an artifact of kind {expert.name!r} is not measured here, only 'patchcore' is; "
            "docs/ddad.md says how DDAD is measured"
        )
    return expert


def unseen_parts(folder: Path | None) -> Dataset:
    """A data set whose test shows no part that trains; the textile set where no folder is given."""
    if folder is None:
        return textile_dataset()
    data = load_dataset(folder)
    return load_dataset(folder, "disjoint") if data.groups else data


def given_or_trained(
    artifact: Path | None, data: Dataset, rate: float, report: Report, smoke: bool
) -> ComposedExpert:
    """The expert in a folder, or one trained on the data set, on what this machine has."""
    where = Where("auto", "auto", "auto", None)
    if artifact is not None:
        return loaded(find_artifact(artifact), where)
    return trained(data, rate, where, report, smoke)


def trained(
    data: Dataset, rate: float, where: Where, report: Report, smoke: bool = False
) -> ComposedExpert:
    """An expert trained on the data set and loaded as it would be in production."""
    options = TrainOptions(false_alarm_rate=rate, device=where.device, threads=where.threads)
    if smoke:
        options = cheaply(options)
    paths = [s.path for s in data.train]
    expert = train("benchmark", paths, options, data.groups or None, report)
    with tempfile.TemporaryDirectory() as folder:
        digest = save_artifact(expert, Path(folder))
        ready = loaded(Path(folder) / "benchmark" / digest, where)
        ready.training_set()  # read while its folder is there, and kept
        return ready


def speed(ready: ComposedExpert, data: Dataset, seconds: float) -> dict[str, Any]:
    """Images/s and latency by batch size, and the share of the machine's peak that it reaches."""
    images = [read_image(s.path, ready.bit_depth) for s in data.test[:32]]
    speeds = {b: measure_speed(ready, images, b, seconds) for b in BATCHES}
    flops, peak = flops_per_image(ready), matrix_peak(ready.choice)
    best = max(s.images_per_s for s in speeds.values())
    return {
        "images_per_s": {str(b): s.images_per_s for b, s in speeds.items()},
        "latency_ms": {str(b): s.latency_ms for b, s in speeds.items()},
        "peak_share": best * sum(flops.values()) / peak,
        "speed": {
            "batches": [asdict(s) for s in speeds.values()],
            "flops_per_image": flops,
            "matrix_peak_gflops": peak / 1e9,
            **asdict(ready.choice),
        },
    }


def about(ready: ComposedExpert, data: Dataset, protocol: str) -> dict[str, Any]:
    """What was measured on what."""
    calibration = ready.model.calibration
    return {
        "dataset": data.name,
        "protocol": protocol,
        "train_images": len(data.train),
        "test_images": len(data.test),
        "asked_rate": calibration.asked_rate,
        "rate": calibration.rate,
        "groups": calibration.groups,
        "roles": ready.model.roles,
        "map_heads": list(ready.model.map_heads),
        "precision": ready.model.trained.get("precision"),
        "version": ready.version,
    }


def beside(
    name: str,
    ready: ComposedExpert,
    data: Dataset,
    options: ExpertOptions,
    report: Report,
) -> dict[str, Any]:
    """The peer's figures by backbone, its timing in turn with ours, round by round.

    With random weights it is only timed: its AUROC would say nothing.
    """
    if name != "anomalib":
        raise ExpertCommandError(f"no peer {name!r}; there is 'anomalib'")
    most, bank, threads = options.peer_images, options.peer_bank, ready.choice.threads
    python = anomalib_peer.install()
    train_on = [s.path for s in (data.limited(most) if most else data).train]
    timing = [s.path for s in data.test[:16]]
    test = data.limited(options.peer_test).test
    truth = [s.anomalous for s in test]
    found: dict[str, Any] = {
        "train_images": len(train_on),
        "test_images": len(test),
        "ours_image_auroc": image_auroc(score_set(ready, test, report, maps=False).scores, truth),
    }
    for backbone in anomalib_peer.BACKBONES:
        report(f"{backbone}: fit", 0, 1)
        with anomalib_peer.fitted(python, backbone, train_on, timing, threads, bank) as other:
            report(f"{backbone}: fit", 1, 1)
            timed = partial(report, f"{backbone}: time")
            row = {**other.about, **_timed_in_turn(ready, other, timing, options.seconds, timed)}
            row["image_auroc"] = None
            if row["weights"] != "random":
                scores: list[float] = []
                for start in range(0, len(test), _PEER_REPORT):
                    scores += other.scores([s.path for s in test[start : start + _PEER_REPORT]])
                    report(f"{backbone}: score", len(scores), len(test))
                row["image_auroc"] = image_auroc(scores, truth)
        found[backbone] = row
    return found


def _timed_in_turn(
    ready: ComposedExpert,
    other: anomalib_peer.AnomalibPeer,
    timing: Sequence[Path],
    seconds: float,
    report: Callable[[int, int], None],
) -> dict[str, Any]:
    images = [read_image(path, ready.bit_depth) for path in timing]
    figures: dict[str, Any] = {}
    for step, batch in enumerate(_PEER_BATCHES):
        ours, theirs = [], []
        for turn in range(_ROUNDS):
            report(step * _ROUNDS + turn, len(_PEER_BATCHES) * _ROUNDS)
            ours.append(measure_speed(ready, images, batch, seconds).images_per_s)
            theirs.append(batch / median(other.times(batch, seconds)))
        figures[f"batch_{batch}"] = {
            "images_per_s": median(theirs),
            "ours_images_per_s": median(ours),
            "times_faster": median(ours) / median(theirs),
        }
    report(1, 1)
    return figures
