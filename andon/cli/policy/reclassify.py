"""``andon policy backtest FILE --reclassify``: recorded pictures through Ray Serve's classifier."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime

import typer
from rich.markup import escape

from andon.cli.policy import database
from andon.cli.printing import plain, print_found, progress
from andon.settings import load_settings
from andon.wiring import opened, ray_serve, storage
from policies.egress import EGRESS, Egress
from policies.evaluate import ResolvedPolicy
from policies.review.reclassify import (
    Pairs,
    ReclassifyReport,
    Replayed,
    estimate,
    reclassify,
)
from streams.errors import UnavailableError


def command(
    candidate: ResolvedPolicy,
    since: datetime,
    most: int,
    agreed: Callable[[], bool],
    as_json: bool,
) -> None:
    """Show the cost, ask, ask the classifier again, show what changed."""
    parts = asyncio.run(recorded_anomalies(candidate.product_id, since, most))
    cost = estimate(parts)
    current = asyncio.run(database.in_force(candidate.product_id))
    egress: Egress = current.document.egress if current else "none"
    if EGRESS.index(candidate.document.egress) > EGRESS.index(egress):
        typer.echo(
            f"egress is {egress!r} in the policy in force, and {candidate.document.egress!r} only "
            f"in the candidate: {egress!r} holds until it is applied",
            err=True,
        )
    typer.echo(
        f"{cost.calls} pictures would be sent to the classifier again; the recorded answers cost "
        f"{cost.cost:.2f}, {cost.tokens} tokens and {cost.latency_s:.0f} s one after another",
        err=True,
    )
    if not parts or not agreed():
        raise typer.Exit(1)
    with progress() as bar:
        task = bar.add_task("asking again", total=len(parts))
        report = asyncio.run(ask_again(candidate, parts, lambda n: bar.advance(task, n), egress))
    print_found(report_json(report), show_report(report), as_json)


async def recorded_anomalies(product: str, since: datetime, most: int) -> list[Replayed]:
    """The oldest ``most`` classified anomalies of a product whose picture is kept."""
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
    candidate: ResolvedPolicy,
    parts: list[Replayed],
    advance: Callable[[int], None],
    egress: Egress,
) -> ReclassifyReport:
    """Through the classifier that the line itself uses. Raises ``UnavailableError``."""
    settings = load_settings()
    async with (
        opened(ray_serve.classifier, settings) as classifier,
        opened(storage.image_store, settings) as images,
    ):
        await classifier.start()
        if not await classifier.wait_connected(30.0):
            address = settings.serve.ingress
            raise UnavailableError(
                f"Ray Serve at {address} did not answer in 30 s; start it, then try again"
            )
        return await reclassify(
            candidate, parts, images, classifier, advance=advance, egress=egress
        )


def show_report(report: ReclassifyReport) -> Iterator[str]:
    """What the classifier says now."""
    yield f"{report.asked} answers, cost {report.cost:.2f}"
    for reason, count in report.failed.items():
        yield plain(f"  {count} without an answer: {reason}")
    for (before, now), count in report.classes.most_common(20):
        yield escape(f"  {count} x {before} -> {now}")
    stops, truth = report.stops, report.truth
    yield (
        f"stopped now, passed then: {stops.gained}; the reverse: {stops.lost}; "
        f"McNemar p {stops.p_value:.3g}"
    )
    if report.reviewed:
        yield (
            f"of {report.reviewed} reviewed: right now, wrong then: {truth.gained}; "
            f"the reverse: {truth.lost}; McNemar p {truth.p_value:.3g}"
        )


def report_json(report: ReclassifyReport) -> dict[str, object]:
    """The whole report as JSON values."""

    def pairs(found: Pairs) -> dict[str, object]:
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
