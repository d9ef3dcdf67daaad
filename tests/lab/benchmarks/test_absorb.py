"""The benchmark of absorbing: its draws, its summary and its print."""

import numpy as np

from lab.benchmarks.absorb import make_print
from lab.benchmarks.absorb_figures import AbsorbJudgement, LightRow, summaries


def row(draw: int, lost: float, alarms: float, change: str = "gamma .6") -> LightRow:
    before = AbsorbJudgement(image_auroc=0.6, false_alarms=1.0, found=1.0)
    return LightRow(
        change=change,
        draw=draw,
        nothing_done=before,
        absorbed=AbsorbJudgement(image_auroc=1 - lost, false_alarms=alarms, found=0.9),
        auroc_lost=lost,
        how="relit" if draw else "refused: too odd",
        seconds=20.0,
        cpu_seconds=18.0,
    )


def test_each_change_is_summed_up_over_its_draws() -> None:
    rows = [row(0, 0.02, 0.0), row(1, 0.0, 0.1), row(0, 0.5, 0.5, "gradient .4")]
    gamma, gradient = summaries(rows, [])
    assert (gamma["change"], gamma["draws"]) == ("gamma .6", 2)
    assert gamma["how"] == {"refused: too odd": 1, "relit": 1}
    lost, alarms = gamma["figures"]["AUROC lost"], gamma["figures"]["false alarms"]
    assert np.allclose([lost["mean"], lost["deviation"], lost["highest"]], [0.01, 0.01, 0.02])
    assert (alarms["lowest"], alarms["highest"]) == (0.0, 0.1)
    assert gradient["figures"]["AUROC lost"]["deviation"] == 0.0


def test_a_print_is_nearly_at_the_same_place_on_every_part() -> None:
    printed = make_print(np.random.default_rng(3))
    plain = np.full((200, 200, 3), 180, np.uint8)
    inked = [printed(plain)[..., 0] < 170 for _ in range(8)]
    share = np.mean([own.mean() for own in inked])
    assert 0.01 < share < 0.2
    both = np.logical_and.reduce(inked).mean() / np.logical_or.reduce(inked).mean()
    assert both > 0.3
    assert (plain == 180).all()
