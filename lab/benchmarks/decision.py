"""The decision of expert, classifier and policy together, pooled over several draws of exemplars.

What ``andon demo`` decides in one run of the whole line is decided here in one process, so that
several seeds are affordable. The expert of the normals is the same for every seed and is trained
once; the exemplars, what is taught with them and the parts that arrive differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.datasets.folders import Sample
from lab.demo.offline import decide_offline
from lab.demo.policy import sent_share, with_stop_rate
from lab.demo.run import choose_dataset, choose_policy, severities, told
from lab.demo.summary import severity_of
from lab.demo.verdicts import JudgedPart, Verdicts
from lab.harness.learn import learn, request_of
from lab.harness.line import STATION
from lab.harness.plan import make_plan
from lab.progress import Say
from policies.evaluate import ResolvedPolicy
from serving.experts.options import Progress
from streams.events import Decision
from streams.ports import Situation

DEMO_SEED = 7
"""The first draw is the demo's own."""
RATES = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1)
"""Stop rates of the curve."""


@dataclass(frozen=True)
class DecisionBenchmark:
    """What ``andon benchmark decision`` was asked."""

    images: Path
    policy: Path | None
    rate: float | None
    seeds: int
    folder: Path
    smoke: bool = False
    """Train in seconds: whether everything runs, not how well."""


@dataclass(frozen=True)
class _Decided:
    """One picture with what expert and classifier said of it."""

    photograph: Sample
    decision: Decision

    def judged(self, policy: ResolvedPolicy, together: bool = True) -> JudgedPart:
        """What a policy makes of it; without ``together`` the expert's p-value alone counts."""
        answer, inspection = self.decision.classification, self.decision.inspection
        if answer is not None and not together:
            answer = answer.model_copy(update={"normal_p_value": None})
        situation = Situation(station=STATION, inspection=inspection, classification=answer)
        part, label = self.photograph.part, self.photograph.label
        worth = severity_of(label, severities(policy))
        return JudgedPart(part, label, worth, policy.decide(situation).action)


@dataclass(frozen=True)
class DecisionFigures:
    """The two shares, pooled over the seeds, by who decides."""

    found: dict[str, Verdicts]
    """``taught``: expert and classifier together; ``expert alone``: the taught expert's p-value
    alone says what may be stopped; ``untaught``: that of the expert before it was taught."""
    at_rates: dict[float, dict[str, Verdicts]]
    """The same by stop rate; empty for a policy without one."""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        rates = {
            str(rate): {name: verdicts.as_json() for name, verdicts in found.items()}
            for rate, found in self.at_rates.items()
        }
        return {name: v.as_json() for name, v in self.found.items()} | {"at_rates": rates}


def benchmark_decision(options: DecisionBenchmark, say: Say, report: Progress) -> DecisionFigures:
    """Pooled over the seeds.

    Raises:
        AndonError: the folder is not what the demo needs, or a picture cannot be answered.
    """
    source = choose_dataset(options.images)
    policy = choose_policy(options.policy, source, options.rate, shipped=False)
    taught: list[_Decided] = []
    untaught: list[_Decided] = []
    for seed in range(DEMO_SEED, DEMO_SEED + options.seeds):
        classes = set(policy.document.classes)
        plan = make_plan(policy.product_id, source.train, source.test, classes, None, seed)
        say(f"seed {seed}: {told(plan, source)}")
        sent = sent_share(policy, "prototypes", any(plan.exemplars.values()))
        request = request_of(plan, options.folder, sent)
        learned = learn(request.model_copy(update={"smoke": options.smoke}))
        photographs = [part.photograph for part in plan.parts]
        pictures = [photograph.path for photograph in photographs]
        for artifact, decided in ((learned.artifact, taught), (learned.untaught, untaught)):
            made = decide_offline(artifact, learned.exemplars, policy, pictures, report)
            decided += [_Decided(p, d) for p, d in zip(photographs, made, strict=True)]
    limited = policy.document.stop_rate is not None
    at_rates = {
        rate: _verdicts(with_stop_rate(policy, rate), taught, untaught)
        for rate in (RATES if limited else ())
    }
    return DecisionFigures(_verdicts(policy, taught, untaught), at_rates)


def _verdicts(
    policy: ResolvedPolicy, taught: Sequence[_Decided], untaught: Sequence[_Decided]
) -> dict[str, Verdicts]:
    return {
        "taught": Verdicts.of(d.judged(policy) for d in taught),
        "expert alone": Verdicts.of(d.judged(policy, together=False) for d in taught),
        "untaught": Verdicts.of(d.judged(policy, together=False) for d in untaught),
    }
