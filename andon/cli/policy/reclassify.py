"""``andon policy backtest FILE --reclassify``: recorded pictures through Ray Serve's classifier."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from andon import wiring
from andon.cli.policy import database, output
from andon.settings import load_settings

if TYPE_CHECKING:
    from policies.evaluate import ResolvedPolicy
    from policies.review.reclassify import Pairs, ReclassifyReport, Replayed


def command(
    candidate: "ResolvedPolicy",
    since: timedelta,
    most: int,
    agreed: Callable[[], bool],
    as_json: bool,
) -> None:
    """Show the cost, ask, ask the classifier again, show what changed."""
    parts = asyncio.run(recorded_anomalies(candidate.product_id, since, most))
    _show_estimate(Console(stderr=True), parts)
    if not parts or not agreed():
        raise typer.Exit(1)
    with output.progress() as progress:
        task = progress.add_task("asking again", total=len(parts))
        asked = ask_again(candidate, parts, lambda n: progress.advance(task, n))
        report = asyncio.run(asked)
    if as_json:
        output.echo_json(report_json(report))
    else:
        show_report(output.console(), report)


async def recorded_anomalies(product: str, since: timedelta, most: int) -> "list[Replayed]":
    """The oldest ``most`` classified anomalies of a product whose picture is kept."""
    from policies.review.reclassify import Replayed

    found: list[Replayed] = []
    async with aclosing(database.recorded_since(product, since)) as rows:
        async for row, truth in rows:
            if row.classification is None or not row.image_key:
                continue
            found.append(Replayed(row, row.image_key, truth))
            if len(found) >= most:
                break
    return found


async def ask_again(
    candidate: "ResolvedPolicy",
    parts: "list[Replayed]",
    advance: Callable[[int], None],
) -> "ReclassifyReport":
    """Through the classifier that the line itself uses. Raises ``UnavailableError``."""
    from policies.review.reclassify import reclassify
    from streams.errors import UnavailableError

    settings = load_settings()
    async with (
        wiring.opened(wiring.classifier, settings) as classifier,
        wiring.opened(wiring.image_store, settings) as images,
    ):
        await classifier.start()
        if not await classifier.wait_connected(30.0):
            address = settings.serve.ingress
            raise UnavailableError(
                f"Ray Serve at {address} did not answer in 30 s; start it, then try again"
            )
        return await reclassify(candidate, parts, images, classifier, advance=advance)


def _show_estimate(out: Console, parts: "list[Replayed]") -> None:
    from policies.review.reclassify import estimate

    cost = estimate(parts)
    out.print(
        f"{cost.calls} pictures would be sent to the classifier again; the recorded answers cost "
        f"{cost.cost:.2f}, {cost.tokens} tokens and {cost.latency_s:.0f} s one after another"
    )


def show_report(out: Console, report: "ReclassifyReport") -> None:
    """Print what the classifier says now."""
    out.print(f"{report.asked} answers, cost {report.cost:.2f}")
    for reason, count in report.failed.items():
        out.print(f"  {count} without an answer: {reason}")
    for (before, now), count in report.classes.most_common(20):
        out.print(f"  {count} x {before} -> {now}", markup=False)
    stops, truth = report.stops, report.truth
    out.print(f"stopped now, passed then: {stops.gained}; the reverse: {stops.lost}; {_p(stops)}")
    if report.reviewed:
        out.print(
            f"of {report.reviewed} reviewed: right now, wrong then: {truth.gained}; "
            f"the reverse: {truth.lost}; {_p(truth)}"
        )


def report_json(report: "ReclassifyReport") -> dict[str, object]:
    """The whole report as JSON values."""

    def pairs(found: "Pairs") -> dict[str, object]:
        return {**asdict(found), "p_value": found.p_value}

    return {
        "asked": report.asked,
        "failed": dict(report.failed),
        "classes": [[before, now, n] for (before, now), n in report.classes.items()],
        "actions": [[before, now, n] for (before, now), n in report.actions.items()],
        "stops": pairs(report.stops),
        "reviewed": report.reviewed,
        "truth": pairs(report.truth),
        "cost": report.cost,
    }


def _p(found: "Pairs") -> str:
    return f"McNemar p {found.p_value:.3g}"
