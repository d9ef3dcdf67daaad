"""Products and classes as plants call them, from the training to the history and its export."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.stack.local import LocalStack, StackPorts
from andon.stack.prepare import prepare
from lab.datasets.textile import textile_dataset
from lab.harness.balance import OnKafka
from lab.harness.line import SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, PlayedPart
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from serving.ray.deploy import deploy, serve_config
from tests.integration.conftest import DEPLOY_TIMEOUT_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PRODUCTS = ("6ES7 155-6AU01-0BN0", "AB/12 ö")
CLASS = "lötfehler"
TRAIN, PARTS = 40, 12
POLICY = """\
policy: 1
product: '{product}'
normal: {{description: An even weave.}}
classes:
  {name}: {{description: A flaw., severity: defect, action: scrap}}
rules:
  - {{name: flaw, when: "class == '{name}'", action: rework}}
fallbacks:
  unsure: {{below: 0.0, action: hold}}
"""


@dataclass
class Called:
    """What the run left behind."""

    environment: Mapping[str, str]
    kafka: OnKafka
    folder: Path


def andon(environment: Mapping[str, str], *words: str) -> str:
    """Run a command as people do; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "andon", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


def learn(environment: Mapping[str, str], folder: Path, product: str) -> None:
    """Train the product's expert and teach its classifier by the commands."""
    source = textile_dataset()
    normal, odd = folder / "normal", folder / "odd"
    for target, samples in (
        (normal, source.train[:TRAIN]),
        (odd, [s for s in source.test if s.label == "local"][:8]),
    ):
        target.mkdir(exist_ok=True)
        for sample in samples:
            shutil.copy(sample.path, target)
    small = ("--set", "size=128", "--rate", "0.2")
    andon(environment, "train", "--product", product, "--images", str(normal), *small)
    taught = ("--normals", str(normal), "--set", "expert=false", str(odd))
    andon(environment, "classify", "teach", "--product", product, "--class", CLASS, *taught)


def played_on(line: SimulatedLine, stack: LocalStack) -> OnKafka:
    """Play the plan and wait until the history has all of it."""
    try:
        line.start()
        line.play()
        ledger = read_ledger(line.ledger)
        kafka, balance = asyncio.run(settle(stack.settings(), ledger, PARTS))
        assert balance.balanced, balance
        return kafka
    finally:
        line.stop()


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    """Two products on one line, one of them padded by its controller."""
    folder = tmp_path_factory.mktemp("names")
    stores = {
        "ANDON_PATHS__ARTIFACTS": str(folder / "artifacts"),
        "ANDON_PATHS__EXEMPLARS": str(folder / "exemplars"),
    }
    for product in PRODUCTS:
        learn(stores, folder, product)
    local = [s for s in textile_dataset().test if s.label == "local"][8:]
    good = [s for s in textile_dataset().test if s.label == "good"]
    parts = tuple(
        PlayedPart(
            f"=[red]{n}/ß",
            (local if n % 4 < 2 else good)[n],
            PRODUCTS[n % 2] + (" " * 20 if n % 2 else ""),
        )
        for n in range(PARTS)
    )
    stack = LocalStack(folder / "stack", StackPorts.free())
    stack.start()
    try:
        asyncio.run(prepare(stack.settings(), [], "test"))
        environment = {**stack.environment(), **stores}
        for number, product in enumerate(PRODUCTS):
            path = folder / f"policy{number}.yaml"
            path.write_text(POLICY.format(product=product, name=CLASS), "utf-8")
            andon(environment, "policy", "apply", str(path), "--yes", "--reason", "names")
        args: dict[str, object] = {name: str(folder / name) for name in ("artifacts", "exemplars")}
        args["classifier"] = {"kind": "prototypes"}
        serve = stack.settings().serve
        config = serve_config(SERVE_TEMPLATE, args=args, num_replicas=1)
        deploy(config, serve.address, DEPLOY_TIMEOUT_S, serve.token_file)
        plan = LinePlan(PRODUCTS[0], (), {}, parts)
        line = SimulatedLine(folder / "line", stack, plan, LineOptions(takt_s=2.0, window_s=20.0))
        yield Called({**line.environment, **stores}, played_on(line, stack), folder)
    finally:
        stack.stop()


def test_each_part_is_decided_by_its_own_policy_expert_and_classes(called: Called) -> None:
    decisions = [d for d in called.kafka.decisions if not d.is_late]
    assert {d.product_id for d in decisions} == set(PRODUCTS)
    assert all(d.policy_hash and d.inspection is not None for d in decisions)
    answers = [d.classification for d in decisions if d.classification is not None]
    assert CLASS in {name for answer in answers for name in answer.candidates}, decisions
    assert {d.rule for d in decisions if d.class_name == CLASS} <= {"rule:flaw"}


def test_the_history_lists_and_exports_them(called: Called) -> None:
    for product in PRODUCTS:
        rows = json.loads(
            andon(called.environment, "history", "list", "--product", product, "--json")
        )
        assert product in json.dumps(rows, ensure_ascii=False)
    shown = andon(called.environment, "history", "list")
    assert "=[red]1/ß" in shown
    assert all(product in shown for product in PRODUCTS)
    out = called.folder / "export"
    andon(called.environment, "history", "export", "--format", "mvtec", "-o", str(out))
    told = [json.loads(line) for line in (out / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert {line["product"] for line in told} == set(PRODUCTS)
    assert all((out / line["file"]).is_file() for line in told)


def test_the_versions_are_listed_and_put_in_force_by_name(called: Called) -> None:
    rows = json.loads(andon(called.environment, "models", "list", "--json"))
    assert {row["product"] for row in rows} == set(PRODUCTS)
    for row in rows:
        andon(
            called.environment,
            "models",
            "use",
            row["product"],
            row["digest"][:12],
            "--reason",
            "names",
        )
    again = json.loads(andon(called.environment, "models", "list", "--json"))
    assert {row["product"] for row in again} == set(PRODUCTS)
