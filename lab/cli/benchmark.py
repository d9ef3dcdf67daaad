"""``andon benchmark``: the line, its faults, the experts, the policies, the LLM client."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json, listed
from andon.cli.printing import print_aside, print_found, table_of_rows
from lab.benchmarks.expert_options import ExpertOptions
from lab.cli.benchmark_absorb import absorb
from lab.cli.benchmark_camera import camera
from lab.cli.benchmark_console import ConsoleMore, console
from lab.cli.benchmark_drift import drift
from lab.cli.benchmark_expert import expert
from lab.cli.benchmark_faults import FaultDetails, faults
from lab.cli.benchmark_history import history
from lab.cli.benchmark_latency import latency
from lab.cli.benchmark_lines import lines
from lab.cli.benchmark_links import links
from lab.cli.benchmark_long import soak, stalls
from lab.cli.benchmark_mutants import mutants
from lab.cli.benchmark_products import products
from lab.cli.benchmark_recipes import recipes
from lab.cli.benchmark_shots import shots
from lab.cli.benchmark_takeover import takeover
from lab.cli.benchmark_teaching import TeachingMore, teaching
from lab.cli.demo import at_rates_table, by_class_table, verdicts_table
from lab.cli.smoke import folder_or_smoke
from lab.cli.tables import figures_table

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command(epilog=listed(ExpertOptions))(expert)
app.command()(drift)
app.command()(shots)
app.command(epilog=listed(TeachingMore))(teaching)
app.command()(absorb)
app.command()(camera)
app.command(epilog=listed(ConsoleMore))(console)
app.command(epilog=listed(FaultDetails))(faults)
app.command()(history)
app.command()(latency)
app.command()(links)
app.command()(lines)
app.command()(mutants)
app.command()(products)
app.command()(recipes)
app.command()(soak)
app.command()(stalls)
app.command()(takeover)


@app.callback()
def _logged() -> None:
    import structlog

    def to_stderr(*_: object) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)

    structlog.configure(logger_factory=to_stderr)  # what a benchmark prints is its figures


@app.command()
def line(
    rounds: Annotated[int, typer.Option(min=1, help="Alternations of expert and line.")] = 3,
    seconds: Annotated[float, typer.Option(min=2, help="Length of one measurement.")] = 15.0,
    in_flight: Annotated[int, typer.Option(min=1, help="Most parts without a result.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Images per batch, alone and in Serve.")] = 8,
    anomalous: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the played parts that are not good.")
    ] = 0.1,
    secured: Annotated[
        bool,
        typer.Option("--secured", help="Apache Kafka in plain text beside TLS and rights by role."),
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="One short round, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """The whole line's rate beside the bare expert's, alternated; latency at half load.

    `ratio` and `overhead_cpu_ms` (all CPU per frame but the bare expert's) are of the reference
    expert (torch f32, one thread), `shipped_ratio` and `shipped` of the runtime that the artifact
    picks by itself.
    `flow_cpu_ms` is the overhead's share of broker, inspect, classify and Ray. CPU is read while
    parts flow; `rest_cpu_ms_per_s` is what the line takes each second without any.
    """
    from lab.benchmarks.line import LineBenchmark, benchmark_line, benchmark_secured

    options = LineBenchmark(rounds, seconds, in_flight, batch, anomalous)
    if smoke:
        options = replace(options, rounds=1, seconds=4.0, train=60)
    result = (benchmark_secured if secured else benchmark_line)(options, print_aside)
    shown = figures_table(result, "The whole line beside the bare expert")
    print_found(result, [shown], as_json)


@app.command()
def decision(
    images: Annotated[
        Path | None, typer.Argument(help="Folder in MVTec-AD layout.", show_default=False)
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; without it, every class is held.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.3,
            help="Share of good parts that may be stopped, in place of the policy's.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the parts that teach.")] = 5,
    folder: Annotated[Path, typer.Option(help="Where experts and exemplars are kept.")] = Path(
        ".andon/decision"
    ),
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Made-up images, one draw, for CI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Defects that pass and good parts that do not, as `andon demo` decides, without its processes.

    Pooled over several draws of the parts that teach, as taught and without teaching.
    """
    from andon.cli.experts import stage_bars
    from lab.benchmarks.decision import DecisionBenchmark, benchmark_decision

    source = folder_or_smoke(images, smoke)
    options = DecisionBenchmark(source, policy, rate, seeds, folder=folder)
    if smoke:
        options = replace(options, seeds=1, folder=source.with_name("learned"), smoke=True)
    with stage_bars() as report:
        found = benchmark_decision(options, print_aside, report)
    shown = [verdicts_table(found.found), by_class_table(found.found)]
    if found.at_rates:
        shown.append(at_rates_table(found.at_rates))
    print_found(found.as_json(), shown, as_json)


@app.command()
def learn(
    images: Annotated[
        Path | None,
        typer.Argument(help="Folder in MVTec-AD layout, with parts.csv.", show_default=False),
    ] = None,
    splits: Annotated[int, typer.Option(min=1, help="Draws of the reviewed parts.")] = 20,
    normals: Annotated[int, typer.Option(min=1, help="Normal parts that are reviewed.")] = 40,
    rate: Annotated[
        float,
        typer.Option(min=0.001, max=0.3, help="False alarms asked of the expert, share of good."),
    ] = 0.03,
    folder: Annotated[Path, typer.Option(help="Where the expert is kept.")] = Path(
        ".andon/learn-benchmark"
    ),
    line: Annotated[
        bool,
        typer.Option("--line", help="One run of the whole line instead; exit 1 unless it holds."),
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Made-up images, one draw, for CI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How far escapes fall on parts that nobody reviewed when half of each class is reviewed."""
    from andon.cli.experts import stage_bars
    from lab.benchmarks.learn import LearnBenchmark, benchmark_learn, means

    if line and smoke:
        raise typer.BadParameter("--line plays the whole line: there is no --smoke of it")
    source = folder_or_smoke(images, smoke).resolve()
    options = LearnBenchmark(source, splits, normals, rate, folder=folder)
    if smoke:
        own = source.with_name("learned")
        options = replace(options, splits=1, normals=4, folder=own, smoke=True)
    if line:
        from lab.benchmarks.learn_line import learn_on_line

        found_on_line = learn_on_line(options, print_aside)
        shown = [figures_table(found_on_line, "Learning on the whole line")]
        print_found(found_on_line, shown, as_json)
        is_fine = not found_on_line["lost"] and found_on_line["rolled_back"]
        raise typer.Exit(0 if is_fine else 1)
    with stage_bars() as report:
        found = benchmark_learn(options, print_aside, report)
    body = means(found)
    rows = {"all": body, **body["by_class"]} if isinstance(body["by_class"], dict) else {}
    names = ("defective_parts", "escapes_before", "escapes_after")
    cells = ((label, *(str(row[name]) for name in names)) for label, row in rows.items())
    alarms = f"false alarms: {body['false_alarms_before']} -> {body['false_alarms_after']}"
    print_found(body, [table_of_rows(("class", *names), cells), alarms], as_json)


@app.command()
def policy(
    decisions: Annotated[
        int, typer.Option(min=1000, help="Recorded decisions to back-test.")
    ] = 1_000_000,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of the decision run.")] = 5.0,
    smoke: Annotated[bool, typer.Option("--smoke", help="Small and quick, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Decisions per second on one core, the validator, a back-test over many decisions."""
    from lab.benchmarks.policy import measure_backtest, measure_decisions, measure_validation

    speed = asdict(measure_decisions(seconds=0.5 if smoke else seconds))
    tested = asdict(measure_backtest(5000 if smoke else decisions))
    checked = asdict(measure_validation())
    shown = [
        figures_table(speed, "20 classes, 20 rules, the last matching"),
        figures_table(checked, "The validator on the largest file"),
        figures_table(tested, "Back-test of recorded decisions"),
    ]
    print_found({"decisions": speed, "validation": checked, "backtest": tested}, shown, as_json)
    raise typer.Exit(0 if tested["reproduced_share"] == 1 else 1)


@app.command()
def llm(
    parts: Annotated[int, typer.Option(min=1, help="Anomalous frames at once.")] = 200,
    latency_ms: Annotated[float, typer.Option(min=0, help="Of the twin, milliseconds.")] = 300.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 8,
    smoke: Annotated[bool, typer.Option("--smoke", help="Few parts, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """How much of an endpoint's capacity a burst of anomalous frames turns into answers."""
    from lab.benchmarks.llm import measure_llm_load

    result = asdict(measure_llm_load(16 if smoke else parts, latency_ms, concurrency))
    shown = figures_table(result, "A burst of anomalous frames on the endpoint's twin")
    print_found(result, [shown], as_json)
