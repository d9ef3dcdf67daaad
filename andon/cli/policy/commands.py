"""The commands of ``andon policy``."""

import asyncio
import re
import sys
from collections.abc import Collection
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from andon.cli.history.asking import moment
from andon.cli.options import Json, More, MoreOptions, group, listed, read_options, taking
from andon.cli.policy import database, output, reclassify, signing
from andon.cli.policy.request import Request, Yes, stated_request
from andon.cli.printing import Say, print_found, progress, told
from andon.settings import load_settings
from policies.authoring.loading import load_policy
from policies.authoring.prompt_check import check_text_with_prompt, check_with_prompt
from policies.authoring.schema import REFERENCE_FILE, SCHEMA_FILE, reference, schema_text
from policies.errors import SofteningError
from policies.evaluate import ResolvedPolicy
from policies.review.backtest import BacktestReport
from policies.review.backtest import backtest as fold
from policies.review.diff import difference
from policies.review.export_reader import read_decisions, read_reviews
from policies.review.replay import situation_of
from streams.events import Classification, Decision

app = group("Validate, explain, compare, back-test and apply policies.")
app.add_typer(signing.key, name="key")
Since = Annotated[
    str, typer.Option(help="Of the history, from: 30d, 12h, 2026-11-23 (UTC), ISO time.")
]


class Measured(MoreOptions):
    """Measurements of ``explain`` that are given by ``--set``."""

    count: float | None = Field(None, description="Pieces of the region.")
    score: float | None = Field(None, description="Anomaly score.")
    p_value: float | None = Field(None, description="p-value, 0 to 1.")
    area_px: float | None = Field(None, description="Area, image pixels.")
    longest_px: float | None = Field(None, description="Longest side, image pixels.")


@app.command()
def validate(
    files: Annotated[list[Path] | None, typer.Argument(help="Policy files; all without.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    as_json: Json = False,
) -> None:
    """Check policy files: every error with line, reason and fix; exit code 1 on an error."""
    reports = [check_with_prompt(path) for path in files or _all_products()]
    shown = chain.from_iterable(output.problems(report) for report in reports)
    print_found([output.report_json(report) for report in reports], shown, as_json)
    bad = any(not r.ok or (strict and r.warnings) for r in reports)
    raise typer.Exit(1 if bad else 0)


@app.command(epilog=listed(Measured))
def explain(
    what: Annotated[str, typer.Argument(help="Policy file or hash; a frame id or part number.")],
    class_name: Annotated[str, typer.Option("--class", help="What the classifier says.")] = "",
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="How sure the classifier is.")
    ] = 1.0,
    area: Annotated[float | None, typer.Option(min=0, help="Area, mm².")] = None,
    longest: Annotated[float | None, typer.Option(min=0, help="Longest side, mm.")] = None,
    zone: Annotated[str, typer.Option(help="Zone that the region touches.")] = "",
    station: Annotated[str, typer.Option(help="Station, as rules name it.")] = "",
    lot: Annotated[str, typer.Option(help="Lot.")] = "",
    shift: Annotated[str, typer.Option(help="Shift of the policy.")] = "",
    more: More = None,
    under: Annotated[
        str, typer.Option("--under", help="Of a frame: another file or hash than was in force.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show the path to a decision: of stated values, or of a recorded frame."""
    if not class_name:
        if Path(what).is_file():
            raise typer.BadParameter(
                f"{what} is a policy: say what the classifier answers", param_hint="--class"
            )
        _explain_frame(what, under, as_json)
        return
    stated = {"confidence": confidence, "area_mm2": area, "longest_mm": longest}
    stated |= read_options(Measured, more).model_dump()
    measured = {name: value for name, value in stated.items() if value is not None}
    words = {"class": class_name, "zone": zone, "station": station, "lot": lot, "shift": shift}
    answer = Classification(class_name=class_name, confidence=confidence, classifier="explain")
    policy = policy_of(what)
    _must_be_known("--zone", zone, [one.name for one in policy.document.zones])
    _must_be_known("--shift", shift, policy.document.shifts)
    found, steps = policy.explain_measured(answer, {**measured, **words})
    print_found(output.outcome_json(found, steps), output.outcome(found, steps), as_json)


def _must_be_known(option: str, given: str, known: Collection[str]) -> None:
    """A name that the policy does not have would only make its rules false."""
    if given and given not in known:
        names = ", ".join(sorted(known)) or "it has none"
        raise typer.BadParameter(
            f"the policy has no {option[2:]} {given!r}: {names}", param_hint=option
        )


def _explain_frame(words: str, under: str, as_json: bool) -> None:
    event = asyncio.run(database.recorded_decision(words))
    decision = Decision.model_validate(event)
    situation = situation_of(decision)
    if situation is None:
        raise database.NoSuchPolicyError(
            f"frame {decision.frame_id} was decided without a policy: {decision.reason}"
        )
    found, steps = policy_of(under or decision.policy_hash).explain(situation)
    body = {"frame_id": decision.frame_id, "recorded": event, **output.outcome_json(found, steps)}
    recorded = f"recorded: {decision.action}, {decision.rule} under {decision.policy_hash[:12]}"
    print_found(body, [*output.outcome(found, steps), recorded], as_json)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="File, hash, or product (what is in force).")],
    new: Annotated[str, typer.Argument(help="File, hash, or product (what is in force).")],
    as_json: Json = False,
) -> None:
    """Say what changes from one version to another, softenings by name."""
    found = difference(policy_of(old), policy_of(new))
    print_found(output.difference_json(found), output.difference(found), as_json)


@app.command()
def backtest(
    file: Annotated[str, typer.Argument(help="Candidate: policy file or hash.")],
    since: Since = "30d",
    dump: Annotated[
        Path | None, typer.Option("--from", help="JSON lines of decisions and reviews.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--reclassify",
            help="Send stored pictures to the classifier, as the egress in force allows.",
        ),
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Pictures sent at most.")] = 500,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run a candidate over recorded decisions; exit code 1 when a replay is not exact."""
    candidate, begin = policy_of(file), moment(since)
    if again:
        reclassify.command(candidate, begin, most, lambda: yes or _agreed("send them?"), as_json)
        return
    report = _dumped(candidate, dump) if dump else _recorded(candidate, begin)
    print_found(output.backtest_json(report), output.backtest(report), as_json)
    raise typer.Exit(0 if report.exact else 1)


@app.command()
@taking(request=stated_request)
def apply(
    file: Annotated[Path, typer.Argument(help="Policy file.")],
    request: Request,
    since: Since = "30d",
    skip_backtest: Annotated[
        bool, typer.Option("--skip-backtest", help="Do not look at the history.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Validate, back-test, show the difference, ask, publish; with an audit entry."""
    with told(as_json) as say:
        report = check_with_prompt(file)
        say(output.problems(report), report=output.report_json(report), applied=False)
        if report.policy is None:
            raise typer.Exit(1)
        begin = None if skip_backtest else moment(since)
        _put_in_force(report.policy, request, begin, say, source=_whole_text(file))


@app.command()
@taking(request=stated_request)
def rollback(
    policy_hash: Annotated[str, typer.Argument(help="Hash of an older version, or its beginning.")],
    request: Request,
    as_json: Json = False,
) -> None:
    """Put an older version in force again."""
    with told(as_json) as say:
        version = asyncio.run(database.version(policy_hash))
        _put_in_force(version, request, None, say)


@app.command()
@taking(request=stated_request)
def withdraw(
    product: Annotated[str, typer.Argument(help="Product whose parts shall be held.")],
    request: Request,
    as_json: Json = False,
) -> None:
    """Take a product's policy out of force: every part of it is held. With an audit entry."""
    with told(as_json) as say:
        _ask(f"hold every part of {product}?", request, say)
        made = database.take_out_of_force(product, request.by, request.reason)
        entry = asyncio.run(made)
        shown = f"withdrawn: {product}, its parts are held (audit entry {entry.id})"
        say([shown], product=product, applied=True, audit_entry=entry.id)


@app.command()
def log(
    product: Annotated[str | None, typer.Argument(help="One product; all without.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Latest changes to list.")] = 50,
    as_json: Json = False,
) -> None:
    """Who put which version in force, when and why; the latest first."""
    entries = asyncio.run(database.audit(product, limit))
    body = [entry.model_dump(mode="json") for entry in entries]
    print_found(body, [output.audit(entries)], as_json)


@app.command()
def schema(
    write: Annotated[bool, typer.Option("--write", help="Write the published files.")] = False,
) -> None:
    """Print the JSON Schema, or write it and the reference."""
    if not write:
        typer.echo(schema_text(), nl=False)
        return
    SCHEMA_FILE.write_text(schema_text(), "utf-8")
    REFERENCE_FILE.write_text(reference(), "utf-8")
    typer.echo(f"{SCHEMA_FILE}\n{REFERENCE_FILE}")


def _whole_text(file: Path) -> str | None:
    """The file's text, where it says all by itself."""
    text = file.read_text("utf-8-sig")
    return text if check_text_with_prompt(text).ok else None


def _put_in_force(
    policy: ResolvedPolicy,
    request: Request,
    since: datetime | None,
    say: Say,
    source: str | None = None,
) -> None:
    """Show what would change, ask, and change it; ``since`` back-tests first, on what is later."""
    short = policy.policy_hash[:12]
    before = asyncio.run(database.in_force(policy.product_id))
    # Against nothing no policy would soften: a withdrawal is not the way around being asked.
    last = before or asyncio.run(database.last(policy.product_id))
    found = difference(last, policy) if last else None
    if found is None:
        shown: list[str] = [f"the first policy of {policy.product_id}"]
    elif before is None:
        shown = [f"withdrawn; {found.old_hash[:12]}, the last in force -> {short}:"]
        shown += output.difference(found)
    elif found.old_hash == found.new_hash:
        shown = [f"{short} is in force already; it is published again"]
    else:
        shown = [f"{found.old_hash[:12]} -> {short}:", *output.difference(found)]
    body = None if found is None else output.difference_json(found)
    say(shown, product=policy.product_id, policy_hash=policy.policy_hash, difference=body)
    if since is not None and before is not None:
        replayed = _recorded(policy, since)
        say(output.backtest(replayed), backtest=output.backtest_json(replayed))
    softens = found is not None and found.softens
    say([], softens=softens, applied=False)
    if softens and not request.allow_softening:
        raise SofteningError(
            "this lets parts pass that are stopped today, lets more of their pictures out of the "
            "plant, or weakens the watch over the line (see SOFTENING above; of a policy that was "
            "withdrawn, what it did until then counts); if that is meant, say --allow-softening"
        )
    database.refuse_alone(policy, before, last, softens)
    _ask(f"put {short} in force?", request, say)
    replaces, why = before.policy_hash if before else None, request.reason
    work = database.put_in_force(policy, replaces, request.by, why, softens, source)
    entry = asyncio.run(work)
    shown = [f"in force: {policy.product_id} {policy.policy_hash} (audit entry {entry.id})"]
    say(shown, applied=True, audit_entry=entry.id)


def _ask(question: str, request: Request, say: Say) -> None:
    """Go on if that is agreed to; else end with exit code 1."""
    if not request.yes and not _agreed(question):
        say(["nothing changed"], applied=False)
        raise typer.Exit(1)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        typer.echo("nobody is here to ask; say --yes", err=True)
        return False
    return typer.confirm(question, err=True)


def _all_products() -> list[Path]:
    folder = load_settings().paths.policies
    found = sorted(p for p in folder.glob("*.yaml") if not p.name.startswith("_"))
    if not found:
        raise database.NoSuchPolicyError(
            f"no policy files in {folder}: name them, or set ANDON_PATHS__POLICIES"
        )
    return found


def policy_of(words: str) -> ResolvedPolicy:
    """The policy of a file, of the hash of a stored version, or of a product (what is in force)."""
    if words.endswith((".yaml", ".yml")) or Path(words).is_file():
        return load_policy(words)
    current = asyncio.run(database.in_force(words))  # first: a product may be called 100200
    if current is None and re.fullmatch(r"[0-9a-f]{6,64}", words):
        return asyncio.run(database.version(words))
    if current is None:
        raise database.NoSuchPolicyError(
            f"{words!r} is neither a policy file, nor the hash of a stored version, nor a product "
            "with a policy in force; `andon policy log` lists what was applied"
        )
    return current


def _recorded(candidate: ResolvedPolicy, since: datetime) -> BacktestReport:
    """Back-test over the history."""
    with progress() as bar:
        task = bar.add_task("recorded decisions", total=None)
        work = database.backtest_history(candidate, since, lambda: bar.advance(task))
        return asyncio.run(work)


def _dumped(candidate: ResolvedPolicy, dump: Path) -> BacktestReport:
    """Back-test over an exported file."""
    with progress() as bar:
        size = dump.stat().st_size if dump.is_file() and dump.suffix != ".gz" else None
        task = bar.add_task(dump.name, total=size)
        decisions = read_decisions(dump, lambda done: bar.update(task, completed=done))
        versions = asyncio.run(database.known_versions(candidate.product_id))
        return fold(candidate, decisions, read_reviews(dump), versions)
