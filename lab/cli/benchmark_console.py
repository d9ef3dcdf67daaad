"""``andon benchmark console``: what people see of the line, in a real browser."""

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from andon.cli.options import Json, More, MoreOptions, read_options
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table

if TYPE_CHECKING:
    from lab.benchmarks.console import ConsoleBenchmark


class ConsoleMeasure(StrEnum):
    """What of the console is measured."""

    BROWSER = "browser"
    HISTORY = "history"
    POLICIES = "policies"
    ISOLATION = "isolation"


_TITLES = {
    "start": "The live page, cold",
    "pages": "Every page in Chromium",
    "review": "Reviewing by keys",
    "screen": "From Kafka to the screen",
    "reconnects": "Connections cut",
    "history": "Pages of many parts",
    "policies": "The policy editor",
    "isolation": "The line while console and PostgreSQL are killed",
}


class ConsoleMore(MoreOptions):
    """Rarely asked for."""

    rate: float = Field(10.0, gt=0, le=200, description="Parts/s on their way to the screen.")
    restarts: int = Field(5, ge=0, le=1000, description="Cuts that kill the console too.")
    rate_while_cut: float = Field(2.0, gt=0, le=50, description="Parts/s while they are made.")
    starts: int = Field(5, ge=0, le=100, description="Times that the live page is opened cold.")
    verdicts: int = Field(100, ge=0, le=1000, description="Parts reviewed by keys; 0: not.")
    rounds: int = Field(5, ge=1, le=100, description="Times that each page of many is asked for.")
    judged: int = Field(100_000, ge=1000, description="Decisions that `policies` back-tests.")
    keys: int = Field(300, ge=20, description="Keys that `policies` types.")
    isolation_rounds: int = Field(3, ge=1, le=20, description="Alternations of `isolation`.")
    isolation_parts: int = Field(600, ge=40, le=100_000, description="Parts of one of its rounds.")
    takt: float = Field(0.2, ge=0.02, le=60, description="Its seconds between parts.")


def console(
    what: Annotated[
        list[ConsoleMeasure] | None,
        typer.Argument(help="What to measure; browser and history without a word."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long parts come on their way to the screen; 0: not.")
    ] = 60.0,
    cuts: Annotated[int, typer.Option(min=0, help="Connections that are cut; 0: not.")] = 50,
    parts: Annotated[int, typer.Option(min=1000, help="Parts of the history.")] = 1_000_000,
    axe: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, envvar="AXE_CORE", help="axe-core's axe.min.js."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the databases are made and removed again.")
    ] = None,
    more: More = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="As short as it runs, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """The console in Chromium: to the screen, over cuts, every page; pages of a million parts.

    Exit code 1 where a part was missed or doubled, or a page did what none may: ask another host,
    be refused by the content policy, say an error, be wider than its window. Where no Chromium is
    installed, `browser` says so. `isolation` plays the line with the console and PostgreSQL killed,
    alternated with undisturbed rounds; it is not done unasked.
    """
    chosen = read_options(ConsoleMore, more)
    wanted = what or [ConsoleMeasure.BROWSER, ConsoleMeasure.HISTORY]
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="andon-", dir=folder) as made:
        if ConsoleMeasure.BROWSER in wanted:
            script = axe.read_text("utf-8") if axe is not None else ""
            options = browser_options(seconds, cuts, script, chosen, smoke)
            found |= _browser(options, Path(made) / "browser")
        if ConsoleMeasure.HISTORY in wanted:
            from lab.benchmarks.console_history import benchmark_pages_of_many

            rounds = 1 if smoke else chosen.rounds
            many = 3000 if smoke else parts
            over = Path(made) / "history"
            over.mkdir()
            found["history"] = asyncio.run(benchmark_pages_of_many(many, rounds, over, print_aside))
        if ConsoleMeasure.POLICIES in wanted:
            from lab.benchmarks.console_policies import benchmark_policies

            judged, keys = (2000, 20) if smoke else (chosen.judged, chosen.keys)
            under = Path(made) / "policies"
            under.mkdir()
            found["policies"] = asyncio.run(benchmark_policies(judged, keys, under, print_aside))
    if ConsoleMeasure.ISOLATION in wanted:
        from lab.benchmarks.console_isolation import IsolationOptions, benchmark_isolation

        played = IsolationOptions(chosen.isolation_rounds, chosen.isolation_parts, chosen.takt)
        found["isolation"] = benchmark_isolation(played, print_aside)
    shown = [
        figures_table(figures, _TITLES[name])
        for name, figures in found.items()
        if isinstance(figures, Mapping)
    ]
    print_found(found, [*shown, *(str(v) for v in found.values() if isinstance(v, str))], as_json)
    raise typer.Exit(0 if is_fine(found) else 1)


def browser_options(
    seconds: float, cuts: int, axe: str, chosen: ConsoleMore, smoke: bool
) -> "ConsoleBenchmark":
    """What is measured in the browser; ``axe`` is the text of axe-core's script, or empty."""
    from lab.benchmarks.console import ConsoleBenchmark

    options = ConsoleBenchmark(
        seconds=seconds,
        rate_per_s=chosen.rate,
        cuts=cuts,
        restarts=min(chosen.restarts, cuts),
        rate_while_cut_per_s=chosen.rate_while_cut,
        starts=chosen.starts,
        verdicts=chosen.verdicts,
        axe=axe,
    )
    if smoke:
        options = replace(options, seconds=2.0, cuts=1, restarts=0, starts=1, looks=1, verdicts=5)
    return options


def _browser(options: "ConsoleBenchmark", folder: Path) -> dict[str, object]:
    from lab.benchmarks.console import benchmark_console
    from lab.harness.chromium import NAMES, chromium_path

    if chromium_path() is None:
        return {"skipped": f"browser: none of {', '.join(NAMES)} is installed"}
    return asyncio.run(benchmark_console(options, folder, print_aside))


def is_fine(found: Mapping[str, object]) -> bool:
    """Whether nothing was found that is wrong at any speed."""
    wrong = 0
    for name, keys in (
        ("review", ("not_taken",)),
        ("screen", ("not_seen",)),
        ("reconnects", ("gaps", "doubles")),
        ("pages", ("not_reached", "elsewhere", "refused", "errors", "too_wide", "axe")),
        ("isolation", ("lost",)),
    ):
        figures = found.get(name)
        if isinstance(figures, Mapping):
            counts = (figures.get(key) for key in keys)
            wrong += sum(count for count in counts if isinstance(count, int))
    return wrong == 0
