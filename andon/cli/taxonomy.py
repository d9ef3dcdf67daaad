"""``andon taxonomy``: whether the classes of a product are the right ones."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.markup import escape

from andon.cli.history.asking import moment
from andon.cli.options import Json, group
from andon.cli.policy import database
from andon.cli.policy.commands import Since, policy_of
from andon.cli.printing import print_found, progress
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.review.answer_files import Subject, read_answer_file
from policies.review.review_table import read_review_table
from policies.review.taxonomy import Audit, ClassNote, ConfusionPrices, LabelledAnswer, Pair
from policies.review.taxonomy import audit as judge
from streams.codes import Action

app = group("Are the classes of a product the right ones?")


@app.callback()
def _taxonomy() -> None:
    """Are the classes of a product the right ones?"""


@app.command()
def audit(
    answers: Annotated[
        Path | None,
        typer.Argument(
            help='JSON {"<object>_<class>_<nnn>": "<answer>"}, or reviews as CSV or a JSON list; '
            "the reviews of the history without it."
        ),
    ] = None,
    descriptions: Annotated[
        str,
        typer.Option(help="A policy (file, hash, product), or the authors' JSON of descriptions."),
    ] = "",
    bundle: Annotated[
        Path | None,
        typer.Option(help="Exemplars instead of answers: a bundle, or a product's folder of them."),
    ] = None,
    since: Since = "90d",
    most: Annotated[int, typer.Option(min=1, help="Proposals shown of each kind.")] = 2,
    as_json: Json = False,
) -> None:
    """Propose classes to merge or take apart, and parts that look mislabelled.

    Two classes are proposed for merging when their parts are taken for each other more often than
    for any other reason and both have the same action. Where one passes and the other does not, the
    confusion and its cost are named instead: such classes must be told apart.
    """
    if not descriptions:
        raise typer.BadParameter(
            "name a policy or a file of descriptions", param_hint="--descriptions"
        )
    found = {
        name: (judge(subject.answers, subject.notes, prices), subject.notes)
        for name, (subject, prices) in _subjects(answers, descriptions, bundle, since).items()
    }
    body = {"objects": {name: _json(audited, notes) for name, (audited, notes) in found.items()}}
    print_found(body, _shown(found, most), as_json)


def _subjects(
    answers: Path | None, descriptions: str, bundle: Path | None, since: str
) -> Mapping[str, tuple[Subject, ConfusionPrices]]:
    if descriptions.endswith(".json"):
        if answers is None:
            raise PolicyError("descriptions of the authors' form need a file of answers")
        read = read_answer_file(answers, Path(descriptions))
        return {name: (subject, ConfusionPrices()) for name, subject in read.items()}
    policy = policy_of(descriptions)
    if bundle is not None:
        found = _of_exemplars(bundle)
    elif answers is None:
        found = asyncio.run(_of_history(policy, moment(since)))
    else:
        rows = enumerate(read_review_table(answers), 1)
        found = [
            LabelledAnswer(f"row {n}", r.truth, r.answer, r.confidence) for n, r in rows if r.truth
        ]
    document = policy.document
    notes = {
        name: ClassNote(name, c.display_name, c.description, c.action is Action.PASS)
        for name, c in document.classes.items()
    }
    priced = document.prices
    prices = ConfusionPrices(priced.escape, priced.hold) if priced else ConfusionPrices()
    return {policy.product_id: (Subject(found, notes), prices)}


def _of_exemplars(folder: Path) -> list[LabelledAnswer]:
    """Each exemplar of a bundle as those of other parts name it; a part is its picture's digest."""
    from serving.naming.exemplars import latest_in, load_bundle
    from serving.naming.leaving_out import leave_parts_out

    loaded = load_bundle(latest_in(folder) or folder)
    parts = {e.part or e.sha256 for e in loaded.exemplars}
    found = []
    with progress() as bar:
        task = bar.add_task("exemplars", total=len(parts))
        for left in leave_parts_out(loaded, advance=lambda done: bar.advance(task, done)):
            shares, exemplar = left.probabilities, left.exemplar
            answer = max(shares, key=lambda name: shares[name])
            called = f"{exemplar.part or 'no part'}, picture {exemplar.sha256[:12]}"
            truth = exemplar.class_name
            found.append(LabelledAnswer(called, truth, answer, shares[answer], shares[truth]))
    return found


async def _of_history(policy: ResolvedPolicy, since: datetime) -> list[LabelledAnswer]:
    """Answers on frames of which a person named the class."""
    found = []
    with progress() as bar:
        task = bar.add_task("recorded decisions", total=None)
        async with aclosing(database.recorded_since(policy.product_id, since)) as rows:
            async for row, _ in rows:
                bar.advance(task)
                answer, truth = row.classification, row.review.class_name if row.review else ""
                if answer is not None and truth:
                    shares = answer.candidates
                    of_truth = shares.get(truth, 0.0) if shares else None
                    found.append(
                        LabelledAnswer(
                            str(row.frame_id),
                            truth,
                            answer.class_name,
                            answer.confidence,
                            of_truth,
                        )
                    )
    return found


def _json(audited: Audit, notes: Mapping[str, ClassNote]) -> dict[str, object]:
    """The audit, and its proposals: which classes to merge, in the order of their score."""
    proposals = [{"do": "merge", "classes": [p.first, p.second]} for p in audited.merges]
    names = {name: note.display_name or name for name, note in notes.items()}
    return {"proposals": proposals, "display_names": names, **asdict(audited)}


def _shown(
    found: Mapping[str, tuple[Audit, Mapping[str, ClassNote]]], most: int
) -> Iterator[RenderableType]:
    if not found:
        yield "No reviewed answers."
    for name, (audited, notes) in found.items():
        yield f"[bold]{escape(name)}[/]: {audited.parts} named parts"
        lines = list(_lines(audited, notes, most))
        yield from lines or ["  nothing to propose"]


def _lines(audited: Audit, notes: Mapping[str, ClassNote], most: int) -> Iterator[str]:
    def called(name: str) -> str:
        note = notes.get(name)
        other = note.display_name if note and note.display_name not in ("", name) else ""
        return escape(f"{name} ({other})" if other else name)

    for what, pairs in (("merge", audited.merges), ("[red]tell apart[/]", audited.borders)):
        for pair in pairs[:most]:
            both = f"{called(pair.first)} and {called(pair.second)}"
            yield f"  {what} {both}, score {pair.score:.2f}: {_confused(pair)}"
    for several in audited.several[:most]:
        kinds = ", ".join(f"{called(k)} {n}" for k, n in several.kinds.items())
        words = f"{several.recognised:.0%} recognised; taken for {kinds}"
        yield f"  split or describe {called(several.name)}: {words}"
    for name in audited.never_answered[:most]:
        yield f"  describe or merge {called(name)}: no answer names it"
    for suspect in audited.suspects[:most]:
        words = f"{called(suspect.looks_like)} at {suspect.probability:.0%}"
        yield f"  look at {escape(suspect.part)}, filed under {called(suspect.truth)}: {words}"


def _confused(pair: Pair) -> str:
    words = (
        f"{pair.first_as_second} of {pair.first_parts} taken for the second and "
        f"{pair.second_as_first} of {pair.second_parts} for the first, "
        f"texts alike to {pair.similarity:.2f}"
    )
    return f"{words}; one passes, cost {pair.cost:g}" if pair.cost else words
