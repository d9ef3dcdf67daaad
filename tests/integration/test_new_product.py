"""A product from pictures to a part that is judged, on a line that never heard of it before."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from andon.stack.local import LocalStack, StackPorts
from andon.stack.prepare import prepare
from lab.datasets.folders import GOOD
from lab.datasets.textile import textile_dataset
from lab.harness.console_here import ConsoleProcess, let_in
from lab.harness.line import SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from serving.ray.deploy import deploy, serve_config
from streams.codes import DecisionSource
from tests.integration.conftest import DEPLOY_TIMEOUT_S, TRAIN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
QUICK = ("size=128", "synthetic=30", "threads=1")
EXEMPLARS, PARTS = 4, 4
"""Of each kind."""
PATIENCE_S = 1200.0


class Stranger:
    """Somebody with pictures, a stack that was just started, and Andon's documentation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = LocalStack(folder / "stack", StackPorts.free())
        source = textile_dataset()
        for sample in source.train[:TRAIN]:
            self._copy(sample.path, folder / GOOD)
        self.shown = []
        for label in (GOOD, "local", "global"):
            found = [sample for sample in source.test if sample.label == label]
            for sample in [] if label == GOOD else found[:EXEMPLARS]:
                self._copy(sample.path, folder / "defects" / label)
            self.shown += found[EXEMPLARS : EXEMPLARS + PARTS]

    @staticmethod
    def _copy(picture: Path, to: Path) -> None:
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, to)

    @property
    def places(self) -> dict[str, str]:
        return {
            "ANDON_PATHS__STATE": str(self.folder / "state"),
            "ANDON_PATHS__ARTIFACTS": str(self.folder / "artifacts"),
            "ANDON_PATHS__EXEMPLARS": str(self.folder / "exemplars"),
        }

    def pictures(self) -> dict[str, dict[str, bytes]]:
        """What it has, by kind and name."""
        folders = [self.folder / GOOD, *(self.folder / "defects").iterdir()]
        return {of.name: {p.name: p.read_bytes() for p in sorted(of.iterdir())} for of in folders}

    def deploy(self) -> None:
        own = {
            "artifacts": str(self.folder / "artifacts"),
            "exemplars": str(self.folder / "exemplars"),
        }
        config = serve_config(SERVE_TEMPLATE, args=own, num_replicas=1)
        serve = self.stack.settings().serve
        deploy(config, serve.address, DEPLOY_TIMEOUT_S, serve.token_file)

    def andon(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "andon", *words],
            env=os.environ | self.stack.environment() | self.places,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def judged(self, product: str, policy_hash: str) -> dict[str, list[str]]:
        """Actions by kind of part, once a line has played them, all judged by its models."""
        plan = LinePlan(product, (), {}, ()).playing(self.shown)
        options = LineOptions(takt_s=1.0, window_s=60.0, wait_result=True)
        line = SimulatedLine(self.folder / product, self.stack, plan, options)
        try:
            line.start()
            line.play()
            ledger = read_ledger(line.ledger)
            kafka, balance = asyncio.run(
                settle(self.stack.settings(), ledger, len(self.shown), shared_broker=True)
            )
        finally:
            line.stop()
        assert not balance.lost
        assert not balance.acted_twice
        found: dict[str, list[str]] = {GOOD: [], "local": [], "global": []}
        kinds = {part.part_id: part.photograph.label for part in plan.parts}
        for decision in kafka.decisions:
            assert decision.source in (DecisionSource.EXPERT, DecisionSource.CLASSIFIER), decision
            assert decision.policy_hash == policy_hash
            found[kinds[decision.part_id]].append(decision.action.value)
        return found


@pytest.fixture
def stranger(scratch: Path) -> Iterator[Stranger]:
    made = Stranger(scratch)
    made.stack.start()
    try:
        asyncio.run(prepare(made.stack.settings(), [], "test"))
        yield made
    finally:
        made.stack.stop()


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_from_pictures_to_the_line_at_a_prompt(stranger: Stranger) -> None:
    words = ["product", "new", "weave", "--images", str(stranger.folder / GOOD), "--json"]
    words += [
        "--exemplars",
        str(stranger.folder / "defects"),
        "--live",
        "--reason",
        "first article",
    ]
    for option in (*QUICK, "actions=global:scrap,local:rework"):
        words += ["--set", option]
    refused = stranger.andon(*words)
    assert refused.returncode == 1, refused.stdout
    assert "andon deploy infra/serve.yaml" in refused.stderr
    assert not (stranger.folder / "artifacts").exists()

    stranger.deploy()
    draft = told(stranger.andon("product", "new", "weave", "--live", "--by", "Ada", "--json"))
    assert draft["live"]["by"] == "Ada"
    assert draft["live"]["expert"] == draft["taught"]["expert"]
    listed = stranger.andon("models", "list", "--product", "weave", "--json")
    assert draft["live"]["expert"] in listed.stdout, listed.stderr
    found = stranger.judged("weave", draft["live"]["policy_hash"])
    assert [len(actions) for actions in found.values()] == [PARTS] * 3
    assert "scrap" in found["global"], found
    assert "pass" in found[GOOD], found


def test_from_pictures_to_the_line_at_the_console(stranger: Stranger) -> None:
    stranger.deploy()
    _, token = asyncio.run(let_in(stranger.stack.settings()))
    environment = stranger.stack.environment() | stranger.places
    console = ConsoleProcess(stranger.folder, environment)
    console.start()
    try:
        live = asyncio.run(_by_the_console(console.base, token, stranger.pictures()))
        found = stranger.judged("cloth", live["policy_hash"])
    finally:
        console.stop()
    assert live["by"] == "benchmark (token benchmark)"
    assert "scrap" in found["global"], found


async def _by_the_console(
    base: str, token: str, pictures: Mapping[str, Mapping[str, bytes]]
) -> Mapping[str, Any]:
    """Every step as the page New product has it done; what is live then."""
    bearer, place = {"Authorization": f"Bearer {token}"}, "/api/products/drafts"
    async with httpx.AsyncClient(base_url=base, headers=bearer, timeout=60.0) as client:
        (await client.post(place, json={"product": "cloth"})).raise_for_status()
        own = f"{place}/cloth"

        async def send(kind: str, of: str) -> None:
            for name, body in pictures[of].items():
                sent = await client.post(f"{own}/{kind}", params={"name": name}, content=body)
                sent.raise_for_status()

        async def do(step: str) -> None:
            asked = await client.post(f"{own}/steps/{step}", json={"reason": "a first try"})
            assert asked.status_code == 202, asked.text

            async def over() -> bool:
                work = (await client.get(f"{own}/work")).json()
                assert not work["error"], work
                return not work["running"]

            async with asyncio.timeout(PATIENCE_S):
                while not await over():  # noqa: ASYNC110 - the page asks so, too
                    await asyncio.sleep(0.5)

        await send("normals", GOOD)
        await do("train")
        for name in ("global", "local"):
            before = {d["name"] for d in (await client.get(own)).json()["defects"]}
            await send("defects", name)
            for defect in (await client.get(own)).json()["defects"]:
                if defect["name"] not in before:
                    named = {"class_name": name, "outline": []}
                    (
                        await client.put(f"{own}/defects/{defect['name']}", json=named)
                    ).raise_for_status()
        means = {"severity": "defect", "action": "scrap", "description": "All of it differs."}
        asked = await client.put(f"{own}/classes", params={"name": "global"}, json=means)
        asked.raise_for_status()
        await do("teach")
        (await client.put(f"{own}/policy", json={"text": ""})).raise_for_status()
        await do("live")
        return dict((await client.get(own)).json()["live"])
