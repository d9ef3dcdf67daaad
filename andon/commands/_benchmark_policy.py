"""Measures how many decisions one core makes: the bar of the policies."""

import random
import time
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PolicySpeed:
    """Decisions by one process, one thread."""

    classes: int
    rules: int
    decisions: int
    seconds: float
    decisions_per_s: float
    cpu_decisions_per_s: float
    """By CPU seconds: what an idle core would do."""
    last_rule_share: float
    """Share of the decisions that the last rule made: 1.0 by construction."""

    def as_json(self) -> dict[str, Any]:
        """A flat JSON object."""
        return asdict(self)


def measure_decisions(
    classes: int = 20, rules: int = 20, seconds: float = 5.0, seed: int = 0
) -> PolicySpeed:
    """Decide random anomalies for ``seconds``, the last rule matching each; nothing is memoised.

    The events are made beforehand, each another one; making them is not measured.
    """
    from policies.evaluate import ResolvedPolicy
    from policies.model import PolicyDocument

    policy = ResolvedPolicy(PolicyDocument.model_validate(_body(classes, rules)))
    situations = _situations(classes, 20_000, seed)
    last, done, by_last = f"rule:rule{rules - 1}", 0, 0
    begun, cpu = time.perf_counter(), time.process_time()
    until = begun + seconds
    while time.perf_counter() < until:
        for situation in situations[done % 20_000 : done % 20_000 + 1000]:
            by_last += policy.decide(situation).rule == last
        done += 1000
    elapsed, used = time.perf_counter() - begun, time.process_time() - cpu
    return PolicySpeed(
        classes, rules, done, elapsed, done / elapsed, done / max(used, 1e-9), by_last / done
    )


def _body(classes: int, rules: int) -> dict[str, Any]:
    """Every rule but the last one looks at six measures and just fails."""
    some = {
        f"class{n}": {"severity": "defect", "action": "rework", "description": f"kind {n}"}
        for n in range(classes)
    }
    never = "confidence < 1.1 * 0.5 && score >= 0 && (area_mm2 < 0 || longest_mm < 0 || count < 0)"
    many = [
        {
            "name": f"rule{n}",
            "when": f"class != 'class{n % classes}' && {never} || lot == 'none{n}'",
            "action": "hold",
        }
        for n in range(rules - 1)
    ]
    always = "class != 'normal' && area_mm2 >= 0 && p_value <= 1 && station.startsWith('S')"
    return {
        "product": "benchmark",
        "mm_per_px": {"default": 0.05},
        "classes": some,
        "rules": [*many, {"name": f"rule{rules - 1}", "when": always, "action": "scrap"}],
    }


def _situations(classes: int, count: int, seed: int) -> list[Any]:
    from streams.events import Classification, Inspection, Region
    from streams.ports import Situation

    chance = random.Random(seed)
    made = []
    for number in range(count):
        region = Region(
            image_height=1000,
            image_width=1000,
            mask_height=64,
            mask_width=64,
            mask_rle="",
            area_px=chance.uniform(1, 1e5),
            longest_side_px=chance.uniform(1, 1e3),
            count=chance.randrange(1, 9),
        )
        inspection = Inspection(
            score=chance.uniform(0, 9),
            threshold=2.0,
            p_value=chance.random(),
            anomalous=True,
            region=region,
            expert_version="benchmark",
        )
        answer = Classification(
            class_name=f"class{chance.randrange(classes)}",
            confidence=chance.random(),
            classifier="benchmark",
        )
        made.append(Situation(f"S{number}", f"L{number}", inspection, answer))
    return made
