"""How ``andon policy`` shows what it found: for people, and as JSON."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.progress import Progress

    from history.policy_log import AuditEntry
    from policies.authoring.loading import Report
    from policies.review.backtest import BacktestReport, Findings
    from policies.review.diff import Difference
    from streams.ports import Outcome

_SHOWN = 10


def console() -> Console:
    """A console on standard output that breaks no line."""
    return Console(soft_wrap=True, highlight=False)


@contextmanager
def progress() -> "Iterator[Progress]":
    """Show a progress bar on standard error; it vanishes when the context ends."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield shown


def problems(report: "Report") -> None:
    """Print one file's errors and warnings, each on its line."""
    out = console()
    for problem in (*report.errors, *report.warnings):
        style = "red" if problem.code.startswith("E") else "yellow"
        where = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        fix = f" [dim]({escape(problem.fix)})[/]" if problem.fix else ""
        out.print(f"{escape(where)}: [{style}]{problem.code}[/] {escape(problem.reason)}{fix}")
    if report.policy is not None:
        silenced = f", {len(report.silenced)} silenced" if report.silenced else ""
        out.print(
            f"[green]ok[/] {escape(report.file)}: {escape(report.policy.product_id)} "
            f"{report.policy.policy_hash[:12]}, {len(report.warnings)} warnings{silenced}"
        )


def report_json(report: "Report") -> dict[str, object]:
    """The validator's report on one file as JSON values."""
    return {
        "file": report.file,
        "ok": report.ok,
        "product": report.policy.product_id if report.policy else None,
        "policy_hash": report.policy.policy_hash if report.policy else None,
        "errors": [asdict(p) for p in report.errors],
        "warnings": [asdict(p) for p in report.warnings],
        "silenced": [asdict(p) for p in report.silenced],
    }


def outcome(found: "Outcome", steps: tuple[str, ...]) -> None:
    """Print a decision and the path to it."""
    out = console()
    for number, step in enumerate(steps, 1):
        out.print(f"  {number}. {escape(step)}")
    out.print(
        f"[bold]{found.action.value}[/] ({found.severity.value}, {escape(found.rule)}): "
        f"{escape(found.reason)}"
    )


def outcome_json(found: "Outcome", steps: tuple[str, ...]) -> dict[str, object]:
    """A decision and the path to it, as JSON values."""
    return {**asdict(found), "reason_code": found.reason_code.name, "steps": list(steps)}


def difference(found: "Difference") -> None:
    """Print what changes, in words."""
    out = console()
    for line in found.lines():
        style = "bold red" if line.startswith("SOFTENING") else ""
        out.print(f"  {escape(line)}", style=style)


def difference_json(found: "Difference") -> dict[str, object]:
    """What changes, as JSON values."""
    return {
        "from": found.old_hash,
        "to": found.new_hash,
        "changes": [asdict(change) for change in found.changes],
        "softenings": [{**asdict(s), "text": str(s)} for s in found.softenings],
        "changes_prompt": found.changes_prompt,
    }


def audit(entries: "Sequence[AuditEntry]") -> None:
    """Print who put which version in force."""
    table = Table("when (UTC)", "product", "from", "to", "who", "why", "")
    for entry in entries:
        when = f"{entry.applied_at:%Y-%m-%d %H:%M:%S}"
        cells = (entry.product_id, (entry.from_hash or "none")[:12], entry.to_hash[:12])
        soft = "softening" if entry.softening else ""
        table.add_row(when, *map(escape, (*cells, entry.applied_by, entry.reason, soft)))
    console().print(table)


def backtest_json(report: "BacktestReport") -> dict[str, object]:
    """The whole report as JSON values."""
    changed = [
        {"class": name, "before": before, "after": after, "decisions": count}
        for (name, before, after), count in sorted(report.changed.items())
    ]
    return {
        **asdict(report),
        "changed": changed,
        "total_changed": report.total_changed,
        "versions": dict(report.versions),
        "unknown_versions": sorted(report.unknown_versions),
        "exact": report.exact,
    }


def backtest(report: "BacktestReport") -> None:
    """Print the report as tables."""
    out = console()
    out.print(
        f"{report.decisions} decisions on {escape(report.product)} under {report.candidate[:12]}: "
        f"[bold]{report.total_changed} would change[/]; {report.reviewed} were reviewed by a person"
    )
    _changes(report, out)
    _parts(out, "would escape: a person found a defect", report.escapes, "bold red")
    _parts(out, "would pass, were stopped, nobody reviewed", report.possible_escapes, "yellow")
    _parts(out, "would be scrapped", report.scrapped, "yellow")
    _parts(out, "would be scrapped, a person found them good", report.good_scrapped, "bold red")
    if report.cost is not None:
        cost, unit = report.cost, report.currency
        out.print(
            f"cost {cost.recorded:.2f} -> {cost.candidate:.2f} {unit}; reviewed escapes "
            f"{cost.escapes_recorded:.2f} -> {cost.escapes_candidate:.2f} {unit}"
        )
    _honesty(report, out)


def _changes(report: "BacktestReport", out: Console) -> None:
    if not report.changed:
        return
    table = Table("class", "recorded", "candidate", "decisions")
    for (name, before, after), count in report.changed.most_common():
        table.add_row(escape(name), before, after, str(count))
    out.print(table)


def _parts(out: Console, title: str, found: "Findings", style: str) -> None:
    if not found.count:
        return
    table = Table(
        "part", "lot", "class", "was", "would be", "picture", title=f"{found.count} {title}"
    )
    for part in found.parts[:_SHOWN]:
        cells = (part.part_id, part.lot_id, part.class_name, part.before, part.after, part.image)
        table.add_row(*(escape(cell) for cell in cells))
    out.print(table, style=style)
    if found.count > _SHOWN:
        out.print(f"  and {found.count - _SHOWN} more; --json lists up to {len(found.parts)}")


def _honesty(report: "BacktestReport", out: Console) -> None:
    if report.in_force:
        same = report.in_force - report.mismatches.count
        out.print(f"{same} of the {report.in_force} decisions of this very version are reproduced")
    for part in report.mismatches.parts[:_SHOWN]:
        out.print(f"  [red]not reproduced[/] {part.frame_id}: {escape(part.reason)}")
    if report.not_judgeable:
        out.print(
            f"[yellow]{report.not_judgeable} classes were named under other texts[/]: what the "
            "classifier would say now is not known; --reclassify asks it again"
        )
        for policy_hash, changes in report.prompt_changes.items():
            out.print(f"  since {policy_hash[:12]}: {escape('; '.join(changes))}")
        for policy_hash in sorted(report.unknown_versions):
            out.print(f"  the texts of {policy_hash[:12]} are not at hand")
    skipped = {
        "late answers": report.late,
        "decided without a policy": report.without_policy,
        "of other products": report.other_products,
    }
    told = ", ".join(f"{count} {what}" for what, count in skipped.items() if count)
    if told:
        out.print(f"not counted: {told}", style="dim")


def echo_json(body: object) -> None:
    """Print one JSON value."""
    typer.echo(json.dumps(body, default=str))
