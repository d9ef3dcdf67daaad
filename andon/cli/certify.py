"""``andon certify``: which classes may pass by themselves, from reviewed answers."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import RenderableType
from rich.markup import escape as plain

from andon.cli.history.asking import moment
from andon.cli.options import Json, writable_file
from andon.cli.policy import database, output
from andon.cli.policy.commands import Since, policy_of
from andon.cli.printing import print_found, print_lines, progress, table_of_rows
from policies.authoring.certificate_block import with_certificate
from policies.authoring.prompt_check import check_with_prompt
from policies.certified import deciding_hash
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import Certificate, CertifiedClass
from policies.review.certify import ClassFinding, Promise, certify_each, certify_together
from policies.review.export_reader import read_decisions, read_reviews
from policies.review.review_table import read_review_table
from policies.review.reviewed import Collected, Reviewing, of_table, passing_classes

app = typer.Typer(add_completion=False)
TABLES = (".csv", ".json")


@app.command()
def certify(
    policy: Annotated[str, typer.Argument(help="Policy file, hash, or product (in force).")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Reviewed answers: CSV, JSON, or an export (*.jsonl)."),
    ] = None,
    since: Since = "90d",
    escape: Annotated[float, typer.Option(help="Share that may escape at most, (0, 1).")] = 0.05,
    confidence: Annotated[float, typer.Option(help="Confidence of it, (0, 1).")] = 0.95,
    of: Annotated[
        Literal["each", "together"],
        typer.Option(
            help="each: defects of the parts that pass under a class. together: defects that pass "
            "under any class, of all defects; only from a table of a random sample."
        ),
    ] = "each",
    write: Annotated[
        bool, typer.Option("--write", help="Write the certificate into the policy file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which classes may pass by themselves, and how many reviews the others lack.

    A class is certified where reviewed answers prove that at most so many escape, over all classes
    and thresholds at once. Exit code 1 when a class that passes is not certified.
    """
    if write and not Path(policy).is_file():
        raise typer.BadParameter(f"{policy} is no policy file", param_hint="--write")
    if write:
        writable_file(Path(policy), "--write")
    found_policy = policy_of(policy)
    try:
        promise = Promise(escape, confidence)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if of == "together" and (source is None or source.suffix.lower() not in TABLES):
        raise typer.BadParameter(
            "together needs a random sample of all named parts, as a table (--from FILE.csv): in "
            "a history stopped parts are reviewed more often than passed ones",
            param_hint="--of",
        )
    collected = _collected(found_policy, source, moment(since))
    answers = collected.of_latest
    candidates = set(passing_classes(found_policy))
    if source is None or source.suffix.lower() not in TABLES:
        candidates |= {answer.class_name for answer in answers}
    test = certify_each if of == "each" else certify_together
    findings = test(answers, candidates, promise)
    certificate = _certificate(found_policy, collected, findings, promise, of)
    body = {
        "product": found_policy.product_id,
        "policy_hash": found_policy.policy_hash,
        "promise": asdict(promise) | {"of": of},
        "classes": [asdict(f) | {"certified": f.certified} for f in findings],
        "reviews": len(answers),
        "of_other_versions": collected.of_others,
        "stopped_anyway": dict(collected.stopped),
        "certificate": certificate.model_dump(mode="json") if certificate else None,
    }
    print_found(body, _shown(found_policy, collected, findings, promise), as_json)
    if write:
        _write(Path(policy), certificate, as_json)
    raise typer.Exit(0 if all(f.certified for f in findings) else 1)


def _collected(policy: ResolvedPolicy, source: Path | None, since: datetime) -> Collected:
    if source is not None and source.suffix.lower() in TABLES:
        return of_table(policy, read_review_table(source))
    if source is not None:
        fold, reviews = Reviewing(policy), read_reviews(source)
        with progress() as bar:
            for decision in bar.track(read_decisions(source), description=source.name):
                fold.add(decision, reviews.get(decision.frame_id))
        return fold.collected
    return asyncio.run(_of_history(policy, since))


async def _of_history(policy: ResolvedPolicy, since: datetime) -> Collected:
    fold = Reviewing(policy)
    with progress() as bar:
        task = bar.add_task("recorded decisions", total=None)
        async with aclosing(database.recorded_since(policy.product_id, since)) as rows:
            async for row, found in rows:
                fold.add(row, found)
                bar.advance(task)
    return fold.collected


def _certificate(
    policy: ResolvedPolicy,
    collected: Collected,
    findings: Sequence[ClassFinding],
    promise: Promise,
    of: Literal["each", "together"],
) -> Certificate | None:
    """The certificate for the policy; None where the reviews do not say what answered."""
    versions = collected.latest
    if versions is None or not versions.classifier or not versions.expert_version:
        return None
    return Certificate(
        escape=promise.escape,
        confidence=promise.confidence,
        of=of,
        issued=datetime.now(UTC).date().isoformat(),
        decides=deciding_hash(policy.document),
        **versions._asdict(),
        classes={
            f.class_name: CertifiedClass(
                from_confidence=f.from_confidence,
                reviews=f.reviews,
                escapes=f.escapes,
                bound=round(f.bound, 6),
            )
            for f in findings
            if f.from_confidence is not None
        },
    )


def _shown(
    policy: ResolvedPolicy,
    collected: Collected,
    findings: Sequence[ClassFinding],
    promise: Promise,
) -> Iterator[RenderableType]:
    columns = ("class", "may pass", "from confidence", "reviews", "defects", "bound", "lacking")
    title = (
        f"{policy.product_id}: at most {promise.escape:.1%} escape, confidence "
        f"{promise.confidence:.0%}"
    )
    yield table_of_rows(columns, (_row(finding) for finding in findings), plain(title))
    if not findings:
        yield "The policy lets no class pass."
    versions = collected.latest
    if versions is not None:
        stated = ", ".join(
            f"{k.replace('_', ' ')} {v[:16]}" for k, v in versions._asdict().items() if v
        )
        yield plain(f"Reviews of {stated or 'versions that are not stated'}.")
    if collected.of_others:
        yield f"{collected.of_others} reviews of other versions are left out: they say nothing."
    if collected.stopped:
        yield f"{collected.stopped.total()} reviewed answers are stopped by the policy anyway."


def _row(finding: ClassFinding) -> list[str]:
    more = finding.more_reviews
    lacking = "more of these will not do" if more is None else f"about {more} more reviews"
    return [
        plain(finding.class_name),
        "[green]yes[/]" if finding.certified else "[yellow]no[/]",
        f"{finding.from_confidence:.3f}" if finding.from_confidence is not None else "",
        str(finding.reviews),
        str(finding.escapes),
        f"{finding.bound:.1%}",
        "" if finding.certified else lacking,
    ]


def _replace(path: Path, body: bytes) -> None:
    """Write a file whole: whoever reads it, or kills this, finds the one before or the new one."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(body)
        shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, certificate: Certificate | None, as_json: bool) -> None:
    if not path.is_file():
        raise PolicyError(f"--write needs a policy file, and {str(path)!r} is none")
    if certificate is None:
        raise PolicyError(
            "the reviews do not say which expert and classifier they are of, so that no answer "
            "could be compared with them; give the table the columns expert_version and "
            "classifier (model, prompt_hash and exemplars_version where there are), or certify "
            "from the history"
        )
    text = with_certificate(path.read_bytes().decode("utf-8"), certificate)
    _replace(path.resolve(), text.encode("utf-8"))
    if not as_json:
        print_lines(output.problems(check_with_prompt(path)))
