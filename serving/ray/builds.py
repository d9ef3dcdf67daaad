"""Which builds of Andon replicas run, beside the one of who asks. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

START_RAY_AGAIN: Final = (
    "start Ray again from the environment that shall run, then `andon deploy` "
    "(docs/install.md, Upgrades)"
)
"""What to do where replicas run another build: they keep the code that Ray began with."""


def other_builds(builds: Mapping[str, Collection[str]], own: str) -> str:
    """In words, which deployments run another build of Andon than the one that asks; empty: none.

    Args:
        builds: those of the replicas of each deployment.
        own: of who asks.

    >>> other_builds({"VisionExpert": ["0.3.0", "0.2.0"], "AnomalyClassifier": ["0.3.0"]}, "0.3.0")
    'VisionExpert runs 0.2.0, and this process 0.3.0'
    """
    others = {d: sorted({b or "an earlier build" for b in of} - {own}) for d, of in builds.items()}
    said = [f"{deployment} runs {', '.join(of)}" for deployment, of in others.items() if of]
    return f"{'; '.join(said)}, and this process {own}" if said else ""
