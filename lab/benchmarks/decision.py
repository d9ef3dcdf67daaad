"""The decision of expert, classifier and policy together, pooled over several draws of exemplars.

What ``andon demo`` decides in one run of the whole line is decided here in one process, so that
several seeds are affordable. The expert of the normals is the same for every seed and is trained
once; the exemplars, what is taught with them and the parts that arrive differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.demo.offline import decide_offline
from lab.demo.run import choose_dataset, choose_policy, severities, told
from lab.demo.summary import severity_of
from lab.demo.verdicts import JudgedPart, Verdicts
from lab.harness.learn import FALSE_ALARM_RATE, learn, request_of
from lab.harness.plan import LinePlan, make_plan
from policies.evaluate import ResolvedPolicy
from serving.experts.options import Progress

Say = Callable[[str], None]


@dataclass(frozen=True)
class DecisionBenchmark:
    """What ``andon benchmark decision`` was asked."""

    images: Path
    policy: Path | None = None
    rate: float = FALSE_ALARM_RATE
    seeds: int = 5
    first_seed: int = 7
    """The demo's own seed is the first."""
    folder: Path = Path(".andon/decision")


def benchmark_decision(
    options: DecisionBenchmark, say: Say, report: Progress
) -> dict[str, Verdicts]:
    """Verdicts pooled over the seeds: as taught, and without teaching.

    Raises:
        AndonError: the folder is not what the demo needs, or a picture cannot be answered.
    """
    source = choose_dataset(options.images)
    policy = choose_policy(options.policy, source, shipped=False)
    pooled: dict[str, list[JudgedPart]] = {"taught": [], "untaught": []}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        taught = set(policy.document.classes)
        plan = make_plan(policy.product_id, source.train, source.test, taught, None, seed)
        say(f"seed {seed}: {told(plan, source)}")
        learned = learn(request_of(plan, options.folder, options.rate))
        for name, artifact in (("taught", learned.artifact), ("untaught", learned.untaught)):
            pooled[name] += _verdicts(artifact, learned.exemplars, policy, plan, report)
    return {name: Verdicts.of(found) for name, found in pooled.items()}


def _verdicts(
    artifact: Path,
    exemplars: Path | None,
    policy: ResolvedPolicy,
    plan: LinePlan,
    report: Progress,
) -> list[JudgedPart]:
    worth = severities(policy)
    photographs = [part.photograph for part in plan.parts]
    decisions = decide_offline(artifact, exemplars, policy, [p.path for p in photographs], report)
    return [
        JudgedPart(p.part, p.label, severity_of(p.label, worth), d.action)
        for p, d in zip(photographs, decisions, strict=True)
    ]
