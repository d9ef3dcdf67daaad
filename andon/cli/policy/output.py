"""How ``andon policy`` shows what it found: for people, and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import RenderableType
from rich.markup import escape
from rich.styled import Styled
from rich.table import Table

from andon.cli.printing import plain, table_of_rows
from history.console_audit import DECLARED
from history.policy_log import AuditEntry
from policies.authoring.loading import Report
from policies.review.backtest import BacktestReport, Findings
from policies.review.diff import Difference
from streams.ports import Outcome

_SHOWN = 10


def problems(report: Report) -> Iterator[str]:
    """One file's errors and warnings, each on its line."""
    for problem in (*report.errors, *report.warnings):
        style = "red" if problem.code.startswith("E") else "yellow"
        where = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        fix = f" [dim]({escape(problem.fix)})[/]" if problem.fix else ""
        yield f"{escape(where)}: [{style}]{problem.code}[/] {escape(problem.reason)}{fix}"
    if report.policy is not None:
        silenced = f", {len(report.silenced)} silenced" if report.silenced else ""
        yield (
            f"[green]ok[/] {escape(report.file)}: {escape(report.policy.product_id)} "
            f"{report.policy.policy_hash[:12]}, {len(report.warnings)} warnings{silenced}"
        )


def report_json(report: Report) -> dict[str, object]:
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


def outcome(found: Outcome, steps: tuple[str, ...]) -> Iterator[str]:
    """A decision and the path to it."""
    for number, step in enumerate(steps, 1):
        yield f"  {number}. {escape(step)}"
    yield (
        f"[bold]{found.action.value}[/] ({found.severity.value}, {plain(found.rule)}): "
        f"{plain(found.reason)}"
    )


def outcome_json(found: Outcome, steps: tuple[str, ...]) -> dict[str, object]:
    """A decision and the path to it, as JSON values."""
    return {**asdict(found), "reason_code": found.reason_code.name, "steps": list(steps)}


def difference(found: Difference) -> Iterator[str]:
    """What changes, in words."""
    for line in found.lines():
        words = f"  {escape(line)}"
        yield f"[bold red]{words}[/]" if line.startswith("SOFTENING") else words


def difference_json(found: Difference) -> dict[str, object]:
    """What changes, as JSON values."""
    return {
        "from": found.old_hash,
        "to": found.new_hash,
        "changes": [asdict(change) for change in found.changes],
        "softenings": [{**asdict(s), "text": str(s)} for s in found.softenings],
        "changes_prompt": found.changes_prompt,
    }


def audit(entries: Sequence[AuditEntry]) -> Table:
    """Who put which version in force."""
    columns = ("when (UTC)", "product", "from", "to", "who", "why", "")
    rows = []
    for entry in entries:
        when = f"{entry.applied_at:%Y-%m-%d %H:%M:%S}"
        cells = (
            entry.product_id,
            (entry.from_hash or "none")[:12],
            (entry.to_hash or "withdrawn")[:12],
        )
        soft = "softening" if entry.softening else ""
        who = f"{entry.applied_by} (self-declared)" if entry.login == DECLARED else entry.applied_by
        rows.append((when, *map(escape, (*cells, who, entry.reason, soft))))
    return table_of_rows(columns, rows)


def backtest_json(report: BacktestReport) -> dict[str, object]:
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


def backtest(report: BacktestReport) -> Iterator[RenderableType]:
    """The report in lines and tables."""
    yield (
        f"{report.decisions} decisions on {escape(report.product)} under {report.candidate[:12]}: "
        f"[bold]{report.total_changed} would change[/]; {report.reviewed} were reviewed by a person"
    )
    if report.changed:
        changed = report.changed.most_common()
        rows = [(escape(name), old, new, str(count)) for (name, old, new), count in changed]
        yield table_of_rows(("class", "recorded", "candidate", "decisions"), rows)
    yield from _parts("would escape: a person found a defect", report.escapes, "bold red")
    yield from _parts(
        "would pass, were stopped, nobody reviewed", report.possible_escapes, "yellow"
    )
    yield from _parts("would be scrapped", report.scrapped, "yellow")
    yield from _parts(
        "would be scrapped, a person found them good", report.good_scrapped, "bold red"
    )
    if report.cost is not None:
        cost, unit = report.cost, report.currency
        yield (
            f"cost {cost.recorded:.2f} -> {cost.candidate:.2f} {unit}; reviewed escapes "
            f"{cost.escapes_recorded:.2f} -> {cost.escapes_candidate:.2f} {unit}"
        )
    yield from _honesty(report)


def _parts(title: str, found: Findings, style: str) -> Iterator[RenderableType]:
    if not found.count:
        return
    columns = ("part", "lot", "class", "was", "would be", "picture")
    rows = [
        map(escape, (p.part_id, p.lot_id, p.class_name, p.before, p.after, p.image))
        for p in found.parts[:_SHOWN]
    ]
    yield Styled(table_of_rows(columns, rows, title=f"{found.count} {title}"), style)
    if found.count > _SHOWN:
        yield f"  and {found.count - _SHOWN} more; --json lists up to {len(found.parts)}"


def _honesty(report: BacktestReport) -> Iterator[str]:
    if report.in_force:
        same = report.in_force - report.mismatches.count
        yield f"{same} of the {report.in_force} decisions of this very version are reproduced"
    for part in report.mismatches.parts[:_SHOWN]:
        yield f"  [red]not reproduced[/] {part.frame_id}: {escape(part.reason)}"
    if report.not_judgeable:
        yield (
            f"[yellow]{report.not_judgeable} classes were named under other texts[/]: what the "
            "classifier would say now is not known; --reclassify asks it again"
        )
        for policy_hash, changes in report.prompt_changes.items():
            yield f"  since {policy_hash[:12]}: {escape('; '.join(changes))}"
        for policy_hash in sorted(report.unknown_versions):
            yield f"  the texts of {policy_hash[:12]} are not at hand"
    skipped = {
        "late answers": report.late,
        "decided without a policy": report.without_policy,
        "of other products": report.other_products,
    }
    told = ", ".join(f"{count} {what}" for what, count in skipped.items() if count)
    if told:
        yield f"[dim]not counted: {told}[/]"
