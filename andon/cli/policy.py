"""``andon policy``: validate, explain, compare, back-test, apply, roll back, log."""

import getpass
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import policy_store as store
from andon.cli import policy_view as show

if TYPE_CHECKING:
    from policies.evaluate import ResolvedPolicy
    from policies.review.backtest import BacktestReport

app = typer.Typer(no_args_is_help=True, add_completion=False)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
Since = Annotated[str, typer.Option(help="How far back: 30d, 12h.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit table.")]
By = Annotated[str, typer.Option(help="Who; by default the user of this host.")]
AllowSoftening = Annotated[
    bool, typer.Option("--allow-softening", help="Let parts pass that are stopped today.")
]


@app.command()
def validate(
    files: Annotated[list[Path] | None, typer.Argument(help="Policy files; all without.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    as_json: Json = False,
) -> None:
    """Check policy files: every error with line, reason and fix; exit code 1 on an error."""
    from andon.cli.policy_words import check_with_words

    reports = [check_with_words(path) for path in files or _all_products()]
    if as_json:
        show.echo_json([show.report_json(report) for report in reports])
    else:
        for report in reports:
            show.problems(report)
    bad = any(not r.ok or (strict and r.warnings) for r in reports)
    raise typer.Exit(1 if bad else 0)


@app.command()
def explain(
    what: Annotated[str, typer.Argument(help="Policy file or hash; a frame id or part number.")],
    class_name: Annotated[str, typer.Option("--class", help="What the classifier says.")] = "",
    confidence: Annotated[float, typer.Option(min=0, max=1)] = 1.0,
    area: Annotated[float | None, typer.Option(help="Area, mm².")] = None,
    longest: Annotated[float | None, typer.Option(help="Longest side, mm.")] = None,
    area_px: Annotated[float | None, typer.Option(help="Area, image pixels.")] = None,
    longest_px: Annotated[float | None, typer.Option(help="Longest side, image pixels.")] = None,
    count: Annotated[float | None, typer.Option(help="Pieces of the region.")] = None,
    score: Annotated[float | None, typer.Option(help="Anomaly score.")] = None,
    p_value: Annotated[float | None, typer.Option(help="p-value, 0 to 1.")] = None,
    zone: Annotated[str, typer.Option(help="Zone that the region touches.")] = "",
    station: Annotated[str, typer.Option()] = "",
    lot: Annotated[str, typer.Option()] = "",
    shift: Annotated[str, typer.Option(help="Shift of the policy.")] = "",
    under: Annotated[
        str, typer.Option("--under", help="Of a frame: another file or hash than was in force.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show the path to a decision: of stated values, or of a recorded frame."""
    from streams.events import Classification

    if not class_name:
        _explain_frame(what, under, as_json)
        return
    stated = {
        "confidence": confidence, "area_mm2": area, "longest_mm": longest, "area_px": area_px,
        "longest_px": longest_px, "count": count, "score": score, "p_value": p_value,
        "zone": zone, "station": station, "lot": lot, "shift": shift,
    }  # fmt: skip
    values = {name: value for name, value in stated.items() if value is not None}
    answer = Classification(class_name=class_name, confidence=confidence, classifier="explain")
    found, steps = _policy(what).explain_measured(answer, {**values, "class": class_name})
    if as_json:
        show.echo_json(show.outcome_json(found, steps))
    else:
        show.outcome(found, steps)


def _explain_frame(words: str, under: str, as_json: bool) -> None:
    from andon.settings import load_settings

    settings = load_settings()
    frame_id, decision, situation = store.run(store.recorded_situation(settings, words))
    if situation is None:
        raise store.NoSuchPolicyError(
            f"frame {frame_id} was decided without a policy: {decision.get('reason', '')}"
        )
    policy = _policy(under or str(decision["policy_hash"]))
    found, steps = policy.explain(situation)
    if as_json:
        body = {"frame_id": frame_id, "recorded": decision, **show.outcome_json(found, steps)}
        show.echo_json(body)
        return
    show.outcome(found, steps)
    recorded = f"{decision['action']}, {decision['rule']}"
    show.console().print(f"recorded: {recorded} under {str(decision['policy_hash'])[:12]}")


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="File, hash, or product (what is in force).")],
    new: Annotated[str, typer.Argument(help="File, hash, or product (what is in force).")],
    as_json: Json = False,
) -> None:
    """Say what changes from one version to another, softenings by name."""
    from policies.review.diff import difference

    found = difference(_policy(old), _policy(new))
    if as_json:
        show.echo_json(show.difference_json(found))
    else:
        show.difference(found)


@app.command()
def backtest(
    file: Annotated[str, typer.Argument(help="Candidate: policy file or hash.")],
    since: Since = "30d",
    dump: Annotated[
        Path | None, typer.Option("--from", help="JSON lines of decisions and reviews.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--reclassify", help="Send the stored pictures to the classifier.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Pictures sent at most.")] = 500,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run a candidate over recorded decisions; exit code 1 when a replay is not exact."""
    if again:
        from andon.cli.policy_reclassify import command

        command(_policy(file), _span(since), most, lambda: yes or _agreed("send them?"), as_json)
        return
    report = _backtest(_policy(file), _span(since), dump)
    if as_json:
        show.echo_json(show.backtest_json(report))
    else:
        show.backtest(report)
    raise typer.Exit(0 if report.exact else 1)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="Policy file.")],
    reason: Reason = "",
    by: By = "",
    yes: Yes = False,
    allow_softening: AllowSoftening = False,
    since: Since = "30d",
    skip_backtest: Annotated[
        bool, typer.Option("--skip-backtest", help="Do not look at the history.")
    ] = False,
) -> None:
    """Validate, back-test, show the difference, ask, publish; with an audit entry."""
    from andon.cli.policy_words import check_with_words

    report = check_with_words(file)
    show.problems(report)
    if report.policy is None:
        raise typer.Exit(1)
    span = None if skip_backtest else _span(since)
    _put_in_force(report.policy, reason, by, yes, allow_softening, span)


@app.command()
def rollback(
    policy_hash: Annotated[str, typer.Argument(help="Hash of an older version, or its beginning.")],
    reason: Reason = "",
    by: By = "",
    yes: Yes = False,
    allow_softening: AllowSoftening = False,
) -> None:
    """Put an older version in force again."""
    from andon.settings import load_settings

    policy = store.run(store.version(load_settings(), policy_hash))
    _put_in_force(policy, reason or "rollback", by, yes, allow_softening, None)


@app.command()
def log(
    product: Annotated[str | None, typer.Argument(help="One product; all without.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Json = False,
) -> None:
    """Who put which version in force, when and why; the latest first."""
    from rich.markup import escape
    from rich.table import Table

    from andon.settings import load_settings

    entries = store.run(store.audit(load_settings(), product, limit))
    if as_json:
        show.echo_json([entry.model_dump(mode="json") for entry in entries])
        return
    table = Table("when (UTC)", "product", "from", "to", "who", "why", "")
    for entry in entries:
        when = f"{entry.applied_at:%Y-%m-%d %H:%M:%S}"
        cells = (entry.product_id, (entry.from_hash or "none")[:12], entry.to_hash[:12])
        soft = "softening" if entry.softening else ""
        table.add_row(when, *map(escape, (*cells, entry.applied_by, entry.reason, soft)))
    show.console().print(table)


@app.command()
def schema(
    write: Annotated[bool, typer.Option("--write", help="Write the published files.")] = False,
) -> None:
    """Print the JSON Schema, or write it and the reference."""
    from policies.authoring.schema import REFERENCE_FILE, SCHEMA_FILE, reference, schema_text

    if not write:
        typer.echo(schema_text(), nl=False)
        return
    SCHEMA_FILE.write_text(schema_text(), "utf-8")
    REFERENCE_FILE.write_text(reference(), "utf-8")
    typer.echo(f"{SCHEMA_FILE}\n{REFERENCE_FILE}")


def _put_in_force(
    policy: "ResolvedPolicy",
    reason: str,
    by: str,
    yes: bool,
    allow_softening: bool,
    since: timedelta | None,
) -> None:
    from andon.settings import load_settings
    from policies.errors import SofteningError
    from policies.review.diff import difference

    settings, out = load_settings(), show.console()
    before = store.run(store.in_force(settings, policy.product_id))
    found = difference(before, policy) if before else None
    if found is None:
        out.print(f"the first policy of {policy.product_id}")
    elif found.old_hash == found.new_hash:
        out.print(f"{policy.policy_hash[:12]} is in force already; it is published again")
    else:
        out.print(f"{found.old_hash[:12]} -> {found.new_hash[:12]}:")
        show.difference(found)
    if since is not None and before is not None:
        show.backtest(_backtest(policy, since, None))
    softens = found is not None and found.softens
    if softens and not allow_softening:
        raise SofteningError(
            "this lets parts pass that are stopped today (see SOFTENING above); "
            "if that is meant, say --allow-softening"
        )
    if not yes and not _agreed(f"put {policy.policy_hash[:12]} in force?"):
        out.print("nothing changed")
        raise typer.Exit(1)
    change = store.Application(policy, before, by or getpass.getuser(), reason, softens)
    entry = store.run(store.put_in_force(settings, change))
    out.print(f"in force: {policy.product_id} {policy.policy_hash} (audit entry {entry.id})")


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        typer.echo("nobody is here to ask; say --yes", err=True)
        return False
    return typer.confirm(question)


def _all_products() -> list[Path]:
    from andon.settings import load_settings

    folder = load_settings().paths.policies
    found = sorted(p for p in folder.glob("*.yaml") if not p.name.startswith("_"))
    if not found:
        raise store.NoSuchPolicyError(
            f"no policy files in {folder}: name them, or set ANDON_PATHS__POLICIES"
        )
    return found


def _policy(words: str) -> "ResolvedPolicy":
    """From a file, the hash of a stored version, or a product (what is in force)."""
    from andon.settings import load_settings
    from policies.authoring.loading import load_policy

    if words.endswith((".yaml", ".yml")) or Path(words).is_file():
        return load_policy(words)
    settings = load_settings()
    if re.fullmatch(r"[0-9a-f]{6,64}", words):
        return store.run(store.version(settings, words))
    current = store.run(store.in_force(settings, words))
    if current is None:
        raise store.NoSuchPolicyError(
            f"{words!r} is neither a policy file, nor the hash of a stored version, nor a product "
            "with a policy in force; `andon policy log` lists what was applied"
        )
    return current


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([dh])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no time span: write 30d or 12h")
    number = int(match.group(1))
    return timedelta(days=number) if match.group(2) == "d" else timedelta(hours=number)


def _backtest(candidate: "ResolvedPolicy", since: timedelta, dump: Path | None) -> "BacktestReport":
    from andon.settings import load_settings
    from policies.review.backtest import backtest as fold
    from policies.review.export_reader import read_decisions, read_reviews

    with show.progress() as progress:
        if dump is None:
            task = progress.add_task("recorded decisions", total=None)
            return store.run(
                store.backtest_history(
                    load_settings(), candidate, since, lambda: progress.advance(task)
                )
            )
        size = dump.stat().st_size if dump.is_file() and dump.suffix != ".gz" else None
        task = progress.add_task(dump.name, total=size)
        decisions = read_decisions(dump, lambda done: progress.update(task, completed=done))
        versions = store.run(store.known_versions(load_settings(), candidate.product_id))
        return fold(candidate, decisions, read_reviews(dump), versions)
