"""Learning from reviews on the whole line: play, review, learn, shadow, promote under way, go back.

The commands are those of a plant (``andon learn``, ``andon models``), run as processes of their own
while the simulated line plays.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from andon.settings import Settings, load_settings
from andon.stack.local import LocalStack, StackPorts
from andon.stack.prepare import prepare
from andon.wiring import brokers, opened, ray_serve, storage
from history.filters import FrameFilter, parse_moment
from history.model_log import ShadowCount
from history.reviews import build_review, submit_review
from lab.benchmarks.learn import FIRST_SEED, LearnBenchmark, half_of_the_parts
from lab.datasets.folders import GOOD, Dataset, Sample, load_dataset
from lab.demo.policy import hold_all_classes
from lab.harness.learn import LearnRequest, learn
from lab.harness.line import ROLES, SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, PlayedPart
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from lab.progress import Say
from policies.evaluate import ResolvedPolicy
from serving.bundle_store import open_folder
from serving.ray.deploy import deploy, serve_config
from serving.ray.settings import VISION
from streams.codes import Action, Severity
from streams.errors import AndonError
from streams.events import Decision

TAKT_S, WINDOW_S = 0.5, 10.0
"""Of the simulated line, seconds: nothing here is about speed."""
FILLER = 120
"""Normal parts between the two rounds, while the candidate is put in force."""
COMMAND_S = 1800.0
DEPLOY_S = 300.0


class LoopError(AndonError):
    """A step of the loop did not do what it should."""


@dataclass
class LoopRun:
    """One run: a stack with an expert that follows the store."""

    product: str
    stack: LocalStack
    folder: Path
    say: Say
    lines: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """Of the stack."""
        return self.stack.settings()

    @property
    def environment(self) -> dict[str, str]:
        """Of the commands."""
        return {
            **os.environ,
            **self.stack.environment(),
            "ANDON_PATHS__ARTIFACTS": str(self.folder / "artifacts"),
            "ANDON_PATHS__EXEMPLARS": str(self.folder / "exemplars"),
            "ANDON_PATHS__STATE": str(self.folder / "state"),
        }

    def command(self, *words: str) -> "subprocess.Popen[str]":
        """``andon`` with these words, begun."""
        self.say("andon " + " ".join(words))
        return subprocess.Popen(
            [sys.executable, "-m", "andon", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self, process: "subprocess.Popen[str]") -> dict[str, object]:
        """What a command printed as JSON.

        Raises:
            LoopError: it failed; with what it said.
        """
        out, err = process.communicate(timeout=COMMAND_S)
        if process.returncode:
            raise LoopError(f"exit code {process.returncode}: {err[-2000:]}")
        found: dict[str, object] = json.loads(out)
        return found

    def play(
        self, samples: Sequence[Sample], at: int = 0, then: Sequence[str] = (), review: bool = False
    ) -> "Played":
        """Play the photographs, each as the part that it shows.

        Args:
            at: after so many of them a command is begun.
            then: the command.
            review: whether a person says of each part what it is, before the line ends.
        """
        self.lines += 1
        parts = tuple(PlayedPart(sample.part, sample) for sample in samples)
        plan, options = LinePlan(self.product, (), {}, parts), LineOptions(TAKT_S, WINDOW_S)
        line = SimulatedLine(self.folder / f"line{self.lines}", self.stack, plan, options)
        begun: list[subprocess.Popen[str]] = []

        def on_part(count: int) -> None:
            if then and not begun and count >= at:
                begun.append(self.command(*then))

        try:
            line.start(ROLES)
            line.play(on_part)
            answers = [self.answer(process) for process in begun]
            ledger = read_ledger(line.ledger)
            _, balance = asyncio.run(settle(self.settings, ledger, len(samples), True))
            keys = sorted(entry.key for entry in ledger)
            decided = [
                (sample, balance.effective[key])
                for sample, key in zip(samples, keys, strict=True)
                if key in balance.effective
            ]
            if review:
                asyncio.run(self.review(decided))
        finally:
            line.stop()
        self.lost += [*balance.lost, *balance.acted_twice]
        return Played(decided, answers)

    async def review(self, decided: "Sequence[tuple[Sample, Decision]]") -> None:
        """A person's word on each part: its class, or that it is normal; until all are kept."""
        async with brokers.publisher(self.settings) as publisher:
            for sample, decision in decided:
                severity = Severity.NORMAL if sample.label == GOOD else Severity.DEFECT
                named = "" if sample.label == GOOD else sample.label
                review = build_review(decision.frame_id, "a benchmark", severity, named)
                await submit_review(publisher, review)
        wanted = FrameFilter(product=self.product, reviewed=True)
        async with asyncio.timeout(60), opened(storage.history, self.settings) as history:
            kept = 0
            while kept < len(decided):
                await asyncio.sleep(0.5)
                kept = len((await history.list_frames(wanted, 1000)).frames)

    async def held(self) -> set[str]:
        """The versions that the replicas of the expert answer with."""
        async with opened(ray_serve.replicas, self.settings) as replicas:
            status = await replicas.look()
        return {replica.versions.get(self.product, "") for replica in status.of(VISION)}

    async def shadows(self, since: str) -> list[ShadowCount]:
        """What the version in the shadow said."""
        async with opened(storage.model_log, self.settings) as log:
            return await log.shadows(parse_moment(since), self.product)


@dataclass(frozen=True)
class Played:
    """The effective decision of each photograph, in order, and what the command answered."""

    decided: list[tuple[Sample, Decision]]
    answers: list[dict[str, object]]


def learn_on_line(options: LearnBenchmark, say: Say) -> dict[str, object]:
    """Figures of one run.

    Raises:
        AndonError: the folder is no data set, or a step failed.
    """
    source = load_dataset(options.images, "disjoint")
    train = [(sample.path, sample.part) for sample in source.train]
    learned = learn(
        LearnRequest(
            product=source.name,
            train=train,
            exemplars={},
            root=options.folder,
            false_alarm_rate=options.rate,
        )
    )
    folder = (options.folder / "run").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    open_folder(folder / "artifacts").add(source.name, learned.untaught)
    stack = LocalStack(folder / "stack", StackPorts.free(), secure=load_settings().secure)
    run = LoopRun(source.name, stack, folder, say)
    say("starting broker, PostgreSQL, S3 and Ray")
    stack.start()
    try:
        _deploy(run, source)
        return _loop(run, source, options, learned.untaught.name)
    finally:
        stack.stop()


def _deploy(run: LoopRun, source: Dataset) -> None:
    """A policy under which every class is held and every picture is kept; experts that follow."""
    body = {**hold_all_classes(source.name, source.classes), "audit_share": 1.0}
    asyncio.run(prepare(run.settings, [ResolvedPolicy.from_body(body)], "a benchmark"))
    args = {name: str(run.folder / name) for name in ("artifacts", "exemplars")}
    serve = run.settings.serve
    deploy(serve_config(SERVE_TEMPLATE, args=args), serve.address, DEPLOY_S, serve.token_file)


def _loop(run: LoopRun, source: Dataset, options: LearnBenchmark, base: str) -> dict[str, object]:
    reviewed = half_of_the_parts(
        [(s.part, "" if s.label == GOOD else s.label) for s in source.test],
        options.normals,
        FIRST_SEED,
    )
    first = [s for s in source.test if s.part in reviewed]
    others = [s for s in source.test if s.part not in reviewed]
    run.say(f"{len(first)} parts that will be reviewed")
    run.play(first, review=True)
    report = str(run.folder / "learn.html")
    words = ("learn", "--product", run.product, "--shadow", "--report", report, "--json")
    made = run.answer(run.command(*words))
    candidate = str(made["candidate"])
    good = [s for s in first if s.label == GOOD]
    second = [*others, *islice(cycle(good), FILLER), *others]
    run.say(f"{len(second)} parts; the candidate is put in force under way")
    use = ("models", "use", run.product, candidate, "--reason", "a benchmark", "--json")
    played = run.play(second, len(others), use)
    shadows = asyncio.run(run.shadows("1d"))
    run.answer(run.command("models", "rollback", run.product, "--json"))
    back = asyncio.run(run.held())
    before = _escapes(played.decided[: len(others)], base)
    after = _escapes(played.decided[-len(others) :], candidate)
    return {
        "parts": len(first) + len(second),
        "lost": run.lost,
        "candidate": candidate,
        "held_out": made["held_out"],
        "escapes_before": before,
        "escapes_after": after,
        "good_stopped_before": _stopped(played.decided[: len(others)], base),
        "good_stopped_after": _stopped(played.decided[-len(others) :], candidate),
        "shadow_frames": sum(count.frames for count in shadows),
        "rolled_back": back == {base},
        "report": report,
    }


def _escapes(decided: Sequence[tuple[Sample, Decision]], version: str) -> float | None:
    return _passed([(s, d) for s, d in decided if s.label != GOOD], version)


def _stopped(decided: Sequence[tuple[Sample, Decision]], version: str) -> float | None:
    passed = _passed([(s, d) for s, d in decided if s.label == GOOD], version)
    return None if passed is None else round(1 - passed, 4)


def _passed(decided: Sequence[tuple[Sample, Decision]], version: str) -> float | None:
    """Share of parts that pass, each weighing one, of those that a version decided."""
    parts: Mapping[str, list[bool]] = defaultdict(list)
    for sample, decision in decided:
        if decision.inspection is not None and decision.inspection.expert_version == version:
            parts[sample.part].append(decision.action is Action.PASS)
    if not parts:
        return None
    return round(sum(sum(passed) / len(passed) for passed in parts.values()) / len(parts), 4)
