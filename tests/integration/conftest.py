"""One real line for the integration tests: stack, Ray, a small expert, every process."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.stack.local import BrokerKind, LocalStack, StackPorts
from andon.stack.prepare import prepare
from lab.datasets.textile import textile_dataset
from lab.harness import learn as learning
from lab.harness.line import SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, make_plan
from policies.authoring.loading import load_policy
from policies.evaluate import ResolvedPolicy
from serving.ray.deploy import Config, deploy, serve_config
from tests.serving.ray.tiny import CLASSIFIER, LOADER, save_tiny

ROOT = Path(__file__).parents[2]
TRAIN = 60
"""Normal textiles that train: enough for a verdict, not for a good one."""

DEPLOY_TIMEOUT_S = 300
"""A busy machine is no failure."""


@dataclass
class Plant:
    """A running stack with a deployed expert; tests build their lines on it."""

    stack: LocalStack
    plan: LinePlan
    policy: ResolvedPolicy

    def line(self, folder: Path, plan: LinePlan, options: LineOptions) -> SimulatedLine:
        """A line of this plant, not started.

        Its workers are called alike in every folder: the embedded broker waits without end for a
        static member that has ended, unless one of its name comes back.
        """
        return SimulatedLine(folder, self.stack, plan, options, {"ANDON_WORKER__INSTANCE": "plant"})


def trained(plan: LinePlan, folder: Path) -> Config:
    """A real expert and a real classifier, taught on the plan's pictures."""
    return learning.learn(learning.request_of(plan, folder)).serve_config()


def tiny(plan: LinePlan, folder: Path) -> Config:
    """No training: about every other textile is an anomaly, of a class that no policy knows."""
    args: dict[str, object] = {
        "artifacts": str(folder / "artifacts"),
        "exemplars": str(folder / "exemplars"),
        "vision": {"loader": LOADER},
        "classifier": {"kind": CLASSIFIER},
    }
    digest = save_tiny(folder / "artifacts", plan.product, threshold=0.018)
    return serve_config(SERVE_TEMPLATE, {plan.product: digest}, {}, args, num_replicas=1)


def start_plant(
    folder: Path,
    broker: BrokerKind = "embedded",
    models: Callable[[LinePlan, Path], Config] = trained,
    secure: bool = False,
) -> Plant:
    """Stack, expert, exemplars, policy: everything but the line's own processes."""
    source = textile_dataset()
    policy = load_policy(ROOT / "policies" / "products" / "textile.yaml")
    plan = make_plan(
        policy.product_id, source.train[:TRAIN], source.test, set(policy.document.classes), None
    )
    config = models(plan, folder)
    stack = LocalStack(folder / "stack", StackPorts.free(), broker_kind=broker, secure=secure)
    stack.start()
    try:
        asyncio.run(prepare(stack.settings(), [policy], "test"))
        serve = stack.settings().serve
        deploy(config, serve.address, DEPLOY_TIMEOUT_S, serve.token_file)
    except BaseException:
        stack.stop()
        raise
    return Plant(stack, plan, policy)


@pytest.fixture(scope="session")
def plant() -> Iterator[Plant]:
    """One plant for all integration tests; each test plays on a line of its own boot id."""
    folder = Path(tempfile.mkdtemp(prefix="andon-plant-"))
    running = start_plant(folder)
    try:
        yield running
    finally:
        running.stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
