"""The demo from end to end: learn, start, play, balance, report."""

import asyncio
import contextlib
import fcntl
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.progress import Progress

from andon.settings import load_settings
from andon.stack.local import LocalStack, StackPorts
from andon.stack.prepare import prepare
from infra.stack.process import free_port
from infra.stack.prometheus_local import prometheus_available
from lab.datasets.folders import GOOD, Dataset, load_dataset
from lab.datasets.textile import TITLE, textile_dataset
from lab.demo.classifier import Kind, classifier_args
from lab.demo.console import DemoConsole
from lab.demo.parts import write_parts
from lab.demo.policy import hold_all_classes, sent_share, with_stop_rate
from lab.demo.report import write_report
from lab.demo.summary import PartStory, Summary, summarise, tell
from lab.demo.verdicts import Verdicts
from lab.demo.watch import DashboardFigures, DemoWatch
from lab.harness.learn import Learned, LearnRequest, remembered, request_of
from lab.harness.line import ROLES, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, make_plan, with_sides
from lab.harness.settle import run_seconds, settle
from lab.plc.ledger import read_ledger
from lab.progress import Say
from policies.authoring.loading import load_policy
from policies.evaluate import ResolvedPolicy
from serving.ray.deploy import deploy
from streams.codes import Severity
from streams.errors import AndonError

DEPLOY_TIMEOUT_S = 400.0
"""Compiling a backbone beside other work takes its time; nobody waits at a line yet."""
WATCHED = (*ROLES, "limits", "gateway", "console")
"""The processes of the demo that a Prometheus scrapes."""
Finished = Callable[["Summary", "DemoConsole | None"], None]
"""Told what happened, and the console if there is one, while everything still runs."""


class DemoError(AndonError):
    """The demo cannot run as asked."""


@dataclass(frozen=True)
class DemoOptions:
    """What ``andon demo`` was asked."""

    images: Path | None = None
    policy: Path | None = None
    parts: int | None = None
    takt_s: float = 0.2
    window_s: float = 3.0
    classifier: Kind = "prototypes"
    untaught: frozenset[str] = frozenset()
    rate: float | None = None
    """Share of the good parts that may be stopped; None for what the policy says."""
    seed: int = 7
    """Draws which parts teach, and the order in which the others arrive."""
    shots: int = 1
    """Photographs of each part: one as it is, the others of good parts."""
    beside: bool = False
    """Also decide the same parts without teaching, and without the line's processes."""
    retrain: bool = False
    console: bool = False
    """Whether the console is open while the parts come."""
    prometheus: bool = False
    """Whether a Prometheus scrapes every process, the console among them, from the beginning."""
    folder: Path = Path(".andon/demo")
    report: Path = Path("report.html")


def run_demo(
    options: DemoOptions,
    say: Say,
    progress: Progress,
    finished: Finished = lambda summary, console: None,
) -> Summary:
    """Play the line and return what happened; every process and port is gone afterwards.

    Raises:
        AndonError: something did not start or the folder is not what the demo needs.
    """
    if options.beside and options.shots > 1:
        raise DemoError("beside=true decides single photographs: leave it, or shots, away")
    if options.prometheus and (lacking := prometheus_available()):
        raise DemoError(lacking)
    source = choose_dataset(options.images)
    policy = choose_policy(options.policy, source, options.rate, shipped=options.images is None)
    taught = set(policy.document.classes) - options.untaught
    plan = make_plan(
        policy.product_id, source.train, source.test, taught, options.parts, options.seed
    )
    plan = with_sides(plan, options.shots, options.seed)
    # SIGTERM unwinds like Ctrl-C, so that nothing is left behind
    with _alone(options.folder), _signals(signal.default_int_handler, signal.SIGTERM):
        run = options.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        stack = LocalStack(run / "stack", StackPorts.free(), secure=load_settings().secure)
        line = SimulatedLine(run, stack, plan, LineOptions(options.takt_s, options.window_s))
        line.metrics_ports = {name: free_port() for name in WATCHED if options.prometheus}
        try:
            with classifier_args(options.classifier, run) as classifier, ExitStack() as beside:
                tools = _Tools(classifier, beside, say, progress)
                summary, console = _run(options, source, policy, plan, line, tools)
                finished(summary, console)
                return summary
        finally:
            # a second Ctrl-C must not cut the cleaning up short
            with _signals(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
                line.stop()
                stack.stop()


def choose_dataset(images: Path | None) -> Dataset:
    """The folder, or the textile set; no part of the test trains, as far as parts are known."""
    found = load_dataset(images.resolve()) if images else textile_dataset()
    return found.without_tested_parts()


def choose_policy(
    given: Path | None, source: Dataset, rate: float | None, shipped: bool
) -> ResolvedPolicy:
    """The one given; the data set's own where it is ``shipped``; else every class is held.

    ``rate`` replaces its ``stop_rate``.
    """
    own = Path(__file__).parents[2] / "policies" / "products" / f"{source.name}.yaml"
    if given is not None:
        found = load_policy(given)
    elif shipped and own.is_file():
        found = load_policy(own)
    else:
        found = ResolvedPolicy.from_body(hold_all_classes(source.name, source.classes))
    return with_stop_rate(found, rate)


@dataclass(frozen=True)
class _Tools:
    """What a run is played with."""

    classifier: dict[str, object]
    beside: ExitStack
    """Ends what runs beside the line."""
    say: Say
    progress: Progress

    def console(self, line: SimulatedLine) -> DemoConsole:
        """Open the console, and say how to log in."""
        made = DemoConsole(line)
        self.beside.callback(made.stop)
        self.say(f"watch the line: {made.told()}")
        return made

    def watch(self, line: SimulatedLine, console: DemoConsole) -> DemoWatch:
        """Start a Prometheus beside the line."""
        made = DemoWatch(line, console.look)
        self.beside.callback(made.stop)
        return made


def _run(
    options: DemoOptions,
    source: Dataset,
    policy: ResolvedPolicy,
    plan: LinePlan,
    line: SimulatedLine,
    tools: _Tools,
) -> tuple[Summary, DemoConsole | None]:
    begun, say, progress = time.monotonic(), tools.say, tools.progress
    title = f"{source.name}: {options.images}" if options.images else TITLE
    say(f"{title}: {told(plan, source)}")
    rate = sent_share(policy, options.classifier, any(plan.exemplars.values()))
    learned = _learn_while_starting(options, plan, rate, line, say, progress)
    settings = line.stack.settings()
    asyncio.run(prepare(settings, [policy], "demo"))
    console = tools.console(line) if options.console or options.prometheus else None
    with _step(progress, "deploying the expert and the classifier on Ray Serve"):
        config, serve = learned.serve_config(classifier=tools.classifier), settings.serve
        deploy(config, serve.address, DEPLOY_TIMEOUT_S, serve.token_file)
    with _step(progress, "starting inspect, classify, record, limits and the gateway"):
        ready = line.start((*ROLES, "limits"))
    watch = tools.watch(line, console) if options.prometheus and console else None
    bar = progress.add_task(f"parts, one every {options.takt_s:g} s", total=len(plan.parts))
    line.play(lambda done: progress.update(bar, completed=done))
    with _step(progress, "waiting for the history to hold everything"):
        ledger = read_ledger(line.ledger)
        kafka, balance = asyncio.run(settle(settings, ledger, len(plan.parts)))
    watched = {} if watch is None else {"dashboards": _asked(watch, progress)}
    stories = tell(plan, severities(policy), ledger, kafka, balance)
    beside, agree = ({}, {}) if not options.beside else _beside(learned, policy, stories, progress)
    extra = {
        "product": plan.product,
        "expert": learned.digest,
        "policy": policy.policy_hash,
        "dead_letters": kafka.dead_letters,
        **agree,
        **watched,
        "alerts": [
            f"{limit} ({count} times): {reason}" if count > 1 else f"{limit}: {reason}"
            for (limit, reason), count in Counter((a.limit, a.reason) for a in kafka.alerts).items()
        ],
        "ready_s": {name: round(s, 1) for name, s in ready.items()},
        "total_s": round(time.monotonic() - begun, 1),
        "report": str(options.report),
        "parts_csv": str(options.report.with_suffix(".csv")),
    }
    summary = summarise(balance, stories, run_seconds(line.ledger), extra, beside)
    write_report(options.report, summary, stories, f"Andon: {title}")
    write_parts(options.report.with_suffix(".csv"), stories)
    return summary, console if options.console else None


def _asked(watch: DemoWatch, progress: Progress) -> DashboardFigures:
    with _step(progress, "asking Prometheus every question of the dashboards"):
        return watch.seen().as_json()


def told(plan: LinePlan, source: Dataset) -> str:
    """How many pictures are for what, in words."""
    taught = sum(len(found) for found in plan.exemplars.values())
    left_out = len(source.left_out)
    apart = f" ({left_out} left out: their parts will arrive)" if left_out else ""
    return (
        f"{len(plan.train)} normal images train{apart}, {taught} labelled ones teach, "
        f"{len(plan.parts)} parts will arrive"
    )


def _beside(
    learned: Learned, policy: ResolvedPolicy, stories: Sequence[PartStory], progress: Progress
) -> tuple[dict[str, Verdicts], dict[str, object]]:
    """The same parts without teaching; how many of the line's actions are repeated offline."""
    from lab.demo.offline import decide_offline  # loads torch

    pictures = [s.picture for s in stories]
    with _step(progress, "deciding the same parts again, and without teaching"):
        again = decide_offline(learned.artifact, learned.exemplars, policy, pictures)
        untaught = decide_offline(learned.untaught, learned.exemplars, policy, pictures)
    same = sum(d.action is s.action for d, s in zip(again, stories, strict=True))
    verdicts = [replace(s.verdict, action=d.action) for d, s in zip(untaught, stories, strict=True)]
    return {"untaught": Verdicts.of(verdicts)}, {"repeated_offline": same}


def severities(policy: ResolvedPolicy) -> dict[str, Severity]:
    """Class -> severity as the policy says; ``good`` is normal."""
    named = {name: entry.severity for name, entry in policy.document.classes.items()}
    return {**named, GOOD: Severity.NORMAL}


def _learn_while_starting(
    options: DemoOptions,
    plan: LinePlan,
    rate: float,
    line: SimulatedLine,
    say: Say,
    progress: Progress,
) -> Learned:
    root = options.folder / "learned"
    root.mkdir(parents=True, exist_ok=True)
    request = request_of(plan, root, rate)
    memory = root / f"{plan.product}.json"
    known = None if options.retrain else remembered(memory, request)
    child = None if known else _start_learning(request, root, memory)
    try:
        with _step(progress, "starting broker, PostgreSQL, S3 and Ray"):
            line.stack.start()
        if known is not None:
            say(f"expert {known.digest[:12]} was trained on exactly these images: used again")
            return known
        if child is None or child.wait() != 0:
            raise DemoError("training failed; the lines above say why")
    finally:
        if child is not None and child.poll() is None:
            child.terminate()
            child.wait(10)
    return Learned.model_validate_json(memory.read_text())


def _start_learning(request: LearnRequest, root: Path, memory: Path) -> "subprocess.Popen[bytes]":
    wanted = root / "request.json"
    wanted.write_text(request.model_dump_json())
    return subprocess.Popen(
        [sys.executable, "-m", "lab.harness.learn", str(wanted), str(memory)], stdout=sys.stderr
    )


@contextlib.contextmanager
def _step(progress: Progress, text: str) -> Iterator[None]:
    task = progress.add_task(text, total=None)
    yield
    progress.update(task, total=1, completed=1)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One demo per folder; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo runs in {folder}; wait for it or stop it") from None
        yield


@contextlib.contextmanager
def _signals(
    handler: Callable[[int, FrameType | None], object] | signal.Handlers, *numbers: signal.Signals
) -> Iterator[None]:
    """The signals go to ``handler`` meanwhile."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)
