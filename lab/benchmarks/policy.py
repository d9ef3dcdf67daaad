"""Measures the policies: the validator, decisions per second on one core, a long back-test."""

import random
import resource
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from policies.authoring.loading import check_file, load_policy
from policies.authoring.yaml_tree import MAX_NODES
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.review.backtest import backtest
from policies.review.export_reader import read_decisions, read_reviews
from streams.codes import DecisionSource
from streams.events import Blob, Box, Classification, Frame, Inspection, Region
from streams.ids import new_frame_id
from streams.ports import Situation
from streams.roles.decisions import Moment, decide


@dataclass(frozen=True)
class PolicySpeed:
    """Decisions by one process, one thread."""

    classes: int
    rules: int
    decisions: int
    seconds: float
    decisions_per_s: float
    cpu_decisions_per_s: float
    """Divided by CPU seconds instead: what an idle core would do."""
    last_rule_share: float
    """Share of the decisions that the last rule made: 1.0 by construction."""


@dataclass(frozen=True)
class ValidationSpeed:
    """The validator on the largest file it reads, by one thread."""

    values: int
    seconds: float
    cpu_seconds: float


def measure_validation() -> ValidationSpeed:
    """Check a file with as many values as are allowed, and one more."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "many.yaml"
        path.write_text("a:\n" + "-\n" * MAX_NODES)
        begun, cpu = time.perf_counter(), time.process_time()
        check_file(path)
        return ValidationSpeed(MAX_NODES, time.perf_counter() - begun, time.process_time() - cpu)


def measure_decisions(seconds: float = 5.0) -> PolicySpeed:
    """Decide random anomalies for ``seconds``, the last rule matching each; nothing is memoised.

    The events are made beforehand, each another one; making them is not measured.
    """
    classes, rules = 20, 20
    policy = ResolvedPolicy(PolicyDocument.model_validate(_body(classes, rules)))
    situations = _situations(classes, 20_000)
    last, done, by_last = f"rule:rule{rules - 1}", 0, 0
    begun, cpu = time.perf_counter(), time.process_time()
    until = begun + seconds
    while not done or time.perf_counter() < until:
        for situation in situations[done % 20_000 : done % 20_000 + 1000]:
            by_last += policy.decide(situation).rule == last
        done += 1000
    elapsed, used = time.perf_counter() - begun, time.process_time() - cpu
    return PolicySpeed(
        classes, rules, done, elapsed, done / elapsed, done / max(used, 1e-9), by_last / done
    )


def _body(classes: int, rules: int) -> dict[str, object]:
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


def _situations(classes: int, count: int) -> list[Situation]:
    chance = random.Random(0)
    made = []
    for number in range(count):
        area_px, score, p_value = chance.uniform(1, 1e5), chance.uniform(0, 9), chance.random()
        name = f"class{chance.randrange(classes)}"
        answer = Classification(class_name=name, confidence=chance.random(), classifier="benchmark")
        inspection = _inspection(area_px, score, p_value)
        made.append(Situation(f"S{number}", f"L{number}", inspection, answer))
    return made


def _inspection(area_px: float, score: float, p_value: float) -> Inspection:
    """An anomaly with one blob."""
    blob = Blob(
        box=Box(x=10, y=10, width=30, height=30),
        area_px=900.0,
        longest_side_px=42.0,
        centroid_x=25.0,
        centroid_y=25.0,
        peak=3.1,
    )
    region = Region(
        image_height=300,
        image_width=300,
        mask_height=32,
        mask_width=32,
        mask_rle="Y52n0" * 8,
        blobs=(blob,),
        area_px=area_px,
        longest_side_px=42.0,
        count=1,
    )
    return Inspection(
        score=score,
        threshold=2.0,
        p_value=p_value,
        anomalous=True,
        region=region,
        expert_version="0" * 64,
        timings_ms={"backbone": 5.1, "bank": 3.2},
    )


@dataclass(frozen=True)
class BacktestSpeed:
    """A back-test from a dump by one process, one thread."""

    decisions: int
    dump_mib: float
    seconds: float
    cpu_seconds: float
    decisions_per_s: float
    cpu_decisions_per_s: float
    """Divided by CPU seconds instead: what an idle core would do."""
    peak_mib: float
    """Peak memory of the whole process."""
    reproduced_share: float


def measure_backtest(decisions: int = 1_000_000) -> BacktestSpeed:
    """Write a dump of that many decisions of the shipped tile policy and back-test it.

    2,000 decisions are made and repeated; reading and deciding do not notice. Writing the dump
    is not measured.
    """
    shipped = Path(__file__).parents[2] / "policies" / "products" / "magnetic_tile.yaml"
    policy = load_policy(shipped)
    lines = [_recorded_line(policy, number) for number in range(2000)]
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch) / "dump.jsonl"
        with dump.open("w", encoding="utf-8") as file:
            for begin in range(0, decisions, len(lines)):
                file.write("".join(lines[: decisions - begin]))
        begun, cpu = time.perf_counter(), time.process_time()
        report = backtest(policy, read_decisions(dump), read_reviews(dump))
        seconds, size = time.perf_counter() - begun, dump.stat().st_size
        used = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = 1 - report.mismatches.count / max(report.in_force, 1)
    done = report.decisions
    return BacktestSpeed(
        done, size / 2**20, seconds, used, done / seconds, done / used, peak, share
    )


def _recorded_line(policy: ResolvedPolicy, number: int) -> str:
    chance = random.Random(number)
    moment = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=number)
    frame = Frame(
        frame_id=new_frame_id(),
        line="L1",
        station="S1",
        product_id=policy.product_id,
        part_id=f"P{number:06d}",
        lot_id="L-1",
        plc_boot_id=1,
        trigger_seq=number + 1,
        captured_at=moment,
        deadline=moment + timedelta(seconds=1),
        result_window_ms=1000,
        size_bytes=1,
        sha256="0" * 64,
    )
    inspection = _inspection(chance.uniform(10, 30000), score=3.0, p_value=0.01)
    if chance.random() < 0.5:
        source = DecisionSource.CLASSIFIER
        name = chance.choice(sorted(policy.document.classes))
        answer: Classification | None = Classification(
            class_name=name, confidence=chance.random(), classifier="prototypes"
        )
    else:
        source, answer = DecisionSource.EXPERT, None
        inspection = inspection.model_copy(update={"anomalous": False, "region": None})
    decision = decide(frame, policy, source, Moment(moment.timestamp()), inspection, answer)
    return decision.model_dump_json() + "\n"
