"""What the pair's p-value holds on few normal parts, over many draws of them.

``python -m tests.serving.naming.small_sets`` prints the table of docs/prototypes.md: made-up
scores and vectors, so that thousands of unseen normal parts judge each draw.
"""

import sys
from collections.abc import Sequence

import numpy as np

from serving.naming.false_alarms import FalseAlarms, Gate

DIMENSIONS = 12
SENT = 0.2
STOP_RATE = 0.05


def stopped(parts: int, seed: int, unseen: int) -> float:
    """The share of unseen normal parts that one draw's calibration would stop at 5 %."""
    rng = np.random.default_rng(seed)
    scores, looks = rng.normal(size=parts), rng.normal(size=(parts, DIMENSIONS)) + 1
    defects = rng.normal(size=(5, DIMENSIONS)) + 1
    defects[:, 1] += 3
    threshold = np.quantile(scores, 1 - SENT)
    sent = scores > threshold
    count = int(sent.sum())
    learned = FalseAlarms.learn(
        Gate("expert", parts, tuple(np.sort(scores).tolist())),
        defects.astype(np.float32),
        looks[sent].astype(np.float32),
        scores[sent].tolist(),
        [1.0] * count,
        [f"part {i}" for i in range(count)],
    )
    assert learned is not None
    later = rng.normal(size=unseen), (rng.normal(size=(unseen, DIMENSIONS)) + 1).astype(np.float32)
    return float(
        np.mean(
            [
                score > threshold and learned.p_value(float(score), look) <= STOP_RATE
                for score, look in zip(*later, strict=True)
            ]
        )
    )


def draws(parts: int, count: int, unseen: int = 400) -> Sequence[float]:
    """``stopped`` of so many draws."""
    return [stopped(parts, seed, unseen) for seed in range(count)]


if __name__ == "__main__":
    say = sys.stdout.write
    say("parts  stopped, mean  deviation over draws  draws above 10 %\n")
    for parts in (45, 60, 100, 200):
        found = np.array(draws(parts, 200))
        over = float((found > 0.1).mean())
        say(f"{parts:5}  {found.mean():13.1%}  {found.std():20.1%}  {over:16.1%}\n")
    nine = np.mean([stopped(60, seed, 67) >= 9 / 67 for seed in range(400)])
    say(f"9 or more of 67 unseen parts, 60 trained on: {nine:.1%} of the draws\n")
