"""Change-overs while parts run: who was decided by which recipe, and how long a change-over takes.

Gateway, policies and the role inspect run in this process over the embedded broker and OPC UA; the
expert is a replica of Serve's with played scoring. The simulated controller keeps the book.
"""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from andon.settings import KafkaSettings, PathSettings, Settings
from andon.wiring import brokers, signed_policies
from connectors.handshake.recipes import Recipe
from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from infra.stack.broker import start_broker
from infra.stack.process import ProcessError, free_port
from lab.benchmarks.recipes_expert import ReplicaHere, save_played
from lab.benchmarks.recipes_judge import AskedRecipe, OfRecipe, asked_of, judged
from lab.harness.gateway_here import gateway_here
from lab.harness.roles_here import opened_role, running_roles
from lab.harness.topics_reader import read_topic
from lab.percentiles import percentile
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import Key, entries_of
from lab.plc.plan import PlannedPart, generate_plan
from lab.progress import Say
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.publish import publish
from streams.changeovers import ChangeoverPhase, ChangeoverStep
from streams.codes import DecisionSource, FaultCode, Stage
from streams.envelope import from_message
from streams.events import Decision, Frame
from streams.kafka.faust_app import BusConfig
from streams.kafka.topic_admin import ensure_topics
from streams.roles.config import FlowConfig, RoleConfig
from streams.roles.inspect import InspectRole
from streams.roles.runner import RoleRunner
from streams.topics import CHANGEOVERS, DECISIONS, FRAMES

PRODUCTS = ("small", "medium", "large")
NEVER_SEEN, LATE = 4, "late"
"""A recipe whose product has no expert until the middle of the run, and that product."""
UNKNOWN = 9
WARM_UP = "warm-up"
"""How the names of parts begin that do not count."""
ANSWER_S = 60.0
SLOW_S = 0.15
"""An answer of the expert takes up to so long."""
LOAD_S = 0.3
"""How long an expert takes to load."""


@dataclass(frozen=True)
class RecipesBenchmark:
    """How many change-overs, and what runs meanwhile; times in seconds."""

    changeovers: int
    takt_s: float
    window_s: float
    between_s: float
    """From one answer to the next request."""
    seed: int


@dataclass(frozen=True)
class _Plan:
    recipes: Mapping[int, Recipe]
    of: Mapping[int, OfRecipe]
    policies: tuple[ResolvedPolicy, ...]


def benchmark_recipes(options: RecipesBenchmark, folder: Path, say: Say) -> dict[str, object]:
    """Change over under load; the figures.

    Args:
        folder: where bundles, journal and spool go; the broker keeps its own in memory.
        say: told each change-over.
    """
    begun = time.monotonic()
    with start_broker() as broker:
        found = asyncio.run(_run(options, broker.bootstrap_servers, folder, say))
    return {**found, "seconds": round(time.monotonic() - begun, 1)}


def _planned(options: RecipesBenchmark, store: Path) -> _Plan:
    """Three products with an expert each, two of them pinned, and one product without."""
    recipes, of = dict[int, Recipe](), dict[int, OfRecipe]()
    classes = {"crack": {"severity": "defect", "action": "scrap"}}
    policies = tuple(
        ResolvedPolicy(PolicyDocument.model_validate({"product": product, "classes": classes}))
        for product in (*PRODUCTS, LATE)
    )
    for number, (product, policy) in enumerate(zip(PRODUCTS, policies, strict=False), 1):
        version, seed = save_played(store, product, LOAD_S), 10 + number
        features: dict[str, bool | int | float | str] = {"seed": seed}
        recipes[number] = Recipe(product=product, camera_features=features)
        if number != len(PRODUCTS):
            pins = {"policy": policy.policy_hash, "expert": version}
            recipes[number] = recipes[number].model_copy(update=pins)
        of[number] = OfRecipe(product, policy.policy_hash, version, f"synthetic-{seed}-")
    recipes[NEVER_SEEN] = Recipe(product=LATE, camera_features={"seed": 10 + NEVER_SEEN})
    return _Plan(recipes, of, policies)


async def _run(
    options: RecipesBenchmark, servers: str, folder: Path, say: Say
) -> dict[str, object]:
    store = folder / "artifacts"
    plan = _planned(options, store)
    settings = _settings(options, servers, folder, plan)
    connection = brokers.kafka_connection(settings)
    await ensure_topics(connection)
    async with brokers.publisher(settings) as publisher:
        for policy in plan.policies:
            await publish(policy, publisher, "benchmark", "the benchmark of recipes")
    own = settings.gateway
    config = PlcConfig(own.plc_url, options.takt_s, options.window_s, heartbeat_missed=20)
    plc = SimulatedPlc(config)
    expert = ReplicaHere(store, SLOW_S, options.seed)
    async with AsyncExitStack() as stack:
        await plc.start()
        stack.push_async_callback(plc.stop)
        await expert.start()
        stack.push_async_callback(expert.close)
        policies = await stack.enter_async_context(signed_policies.policy_source(settings))
        role = RoleConfig(
            "inspect", BusConfig(connection, folder / "state"), FlowConfig(concurrency=256)
        )
        make = opened_role(lambda results: InspectRole(expert, policies, results))
        runner = RoleRunner(role, [FRAMES, CHANGEOVERS], make, lambda *_, **__: None)
        await stack.enter_async_context(running_roles([runner]))
        await stack.enter_async_context(_gateway(settings))
        version = await _played(options, plc, store, say)
    of = {**plan.of}
    if version:
        in_force, camera = plan.policies[-1].policy_hash, f"synthetic-{10 + NEVER_SEEN}-"
        of[NEVER_SEEN] = OfRecipe(LATE, in_force, version, camera)
    return await _figures(plc, servers, of)


def _settings(options: RecipesBenchmark, servers: str, folder: Path, plan: _Plan) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=servers),
        paths=PathSettings(state=folder / "state"),
        gateway=GatewaySettings(
            plc_url=f"opc.tcp://127.0.0.1:{free_port()}",
            camera="synthetic:size=32",
            result_window_ms=round(options.window_s * 1000),
            heartbeat_missed=20,
            unacknowledged_limit=64,
            recipes=dict(plan.recipes),
            journal_dir=folder / "journal",
            spool_dir=folder / "spool",
            is_simulated=True,
        ),
    )


@asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[None]:
    """The gateway over the policies in force, from following the decisions to stopped."""
    async with (
        brokers.publisher(settings) as producer,
        signed_policies.policy_source(settings, "gateway") as policies,
        gateway_here(settings, producer, policies),
    ):
        yield


async def _played(options: RecipesBenchmark, plc: SimulatedPlc, store: Path, say: Say) -> str:
    """Change over and over while parts come at their takt; the version of the product that came
    in the middle."""
    over, version = asyncio.Event(), ""
    if not await plc.wait_for(lambda: plc.gateway_alive, ANSWER_S):
        raise ProcessError("no gateway came to the controller")
    await plc.change_recipe(1, ANSWER_S)
    await _warmed_up(plc)
    playing = asyncio.create_task(_parts(options, plc, over))
    try:
        for number in range(options.changeovers):
            await asyncio.sleep(options.between_s)
            if number % 10 == 3:  # two that cannot be had
                await plc.change_recipe(UNKNOWN, ANSWER_S)
                if not version:
                    await plc.change_recipe(NEVER_SEEN, ANSWER_S)
            if number == options.changeovers // 2:
                version = save_played(store, LATE, LOAD_S)
            several = (NEVER_SEEN, 1, 2, 3) if version else (2, 3, 1)
            recipe = several[number % len(several)]
            if recipe == _active(plc):
                recipe = 1 if recipe != 1 else 2
            begun = time.monotonic()
            done = await plc.change_recipe(recipe, ANSWER_S)
            took_ms = round(1000 * (time.monotonic() - begun))
            say(f"change-over {number + 1} to recipe {recipe}: {done}, {took_ms} ms")
        await asyncio.sleep(options.between_s)
    finally:
        over.set()
        await playing
    return version


async def _warmed_up(plc: SimulatedPlc) -> None:
    """Parts that do not count, until the expert decides one: what decides parts is loaded then."""
    for part in generate_plan(20, WARM_UP):
        if not await plc.wait_for(lambda: plc.ready, ANSWER_S):
            raise ProcessError("the gateway was never Ready under its first recipe")
        await plc.settled(await plc.trigger(part.model_copy(update={"product_id": ""})))
        if plc.gateway(Signal.DECISION_SOURCE) == DecisionSource.EXPERT.code:
            return
    raise ProcessError("no part was decided by the expert")


def _active(plc: SimulatedPlc) -> int:
    for row in reversed(plc.ledger.rows):
        if row.event == "recipe_answered":
            return int(str((row.model_extra or {})["recipe"]))
    return 0


async def _parts(options: RecipesBenchmark, plc: SimulatedPlc, over: asyncio.Event) -> None:
    """A conveyor: a part that finds no Ready within the takt is triggered all the same."""
    for number in itertools.count(1):
        if over.is_set():
            break
        slot = time.monotonic() + options.takt_s
        await plc.wait_for(lambda: plc.ready, options.takt_s)
        await plc.trigger(PlannedPart(part_id=f"part-{number:06d}", product_id=""))
        await asyncio.sleep(max(slot - time.monotonic(), 0.0))
    await plc.wait_for(lambda: plc.open_parts == 0, options.window_s + 1)


async def _figures(
    plc: SimulatedPlc, servers: str, of: Mapping[int, OfRecipe]
) -> dict[str, object]:
    decisions: dict[Key, list[Decision]] = defaultdict(list)
    pictures: dict[Key, str] = {}
    steps: list[ChangeoverStep] = []
    names = [DECISIONS.name, FRAMES.name, CHANGEOVERS.name]
    async for record in read_topic(servers, names):
        if record.topic == CHANGEOVERS.name:
            steps.append(from_message(ChangeoverStep, record.value, record.headers))
        elif record.topic == FRAMES.name:
            frame = from_message(Frame, record.value, record.headers)
            pictures[frame.plc_boot_id, frame.trigger_seq] = frame.image_name
        else:
            decision = from_message(Decision, record.value, record.headers)
            decisions[decision.plc_boot_id, decision.trigger_seq].append(decision)
    asked = asked_of(plc.ledger.rows)
    book = [e for e in entries_of(plc.ledger.rows) if not e.part_id.startswith(WARM_UP)]
    found = judged(book, decisions, pictures, of, asked)
    return {**_change_overs(asked, steps), **found}


def _change_overs(asked: list[AskedRecipe], steps: list[ChangeoverStep]) -> dict[str, object]:
    """What became of the requests, and how long they took."""
    done = sorted(one.took_s * 1000 for one in asked if one.is_in_force)
    ended = (ChangeoverPhase.ACKNOWLEDGED, ChangeoverPhase.REFUSED)
    recorded = sum(s.phase in ended and s.stage is Stage.GATEWAY for s in steps)
    refused = [one for one in asked if one.is_answered and not one.is_in_force]
    return {
        "change_overs": len(done) - 1,
        "refused": {
            FaultCode(code).name: sum(one.fault == code for one in refused)
            for code in sorted({one.fault for one in refused})
        },
        "unanswered": sum(not one.is_answered for one in asked),
        "not_on_record": max(0, len(asked) - recorded),
        "change_over_ms": {
            "p50": round(percentile(done, 0.5), 1),
            "p99": round(percentile(done, 0.99), 1),
            "max": round(done[-1], 1),
        },
    }
