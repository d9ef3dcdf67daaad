"""``andon evaluate certify``: whether certificates of classes are kept, on a file of answers."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from andon.cli.options import Json
from andon.cli.printing import print_found, progress
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.velm.certifying import Kept


def certify(
    file: Annotated[
        Path, typer.Argument(help='JSON: {"<object>_<class>_<nnn>": "<answer>"} of all images.')
    ],
    descriptions: Annotated[
        Path, typer.Option(help="JSON: object -> class folder -> [display name, description].")
    ],
    escape: Annotated[
        list[float] | None,
        typer.Option(help="Share of the defects that may pass, (0, 1); repeatable. [.05 and .10]"),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the promise, (0, 1).")] = 0.95,
    splits: Annotated[int, typer.Option(min=1, help="Random halves.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the halves and designations.")] = 0,
    as_json: Json = False,
) -> None:
    """Certify classes on half of the answers and count what passes in the other half.

    In each split the negligible classes are drawn anew; answers of a certified class pass by
    themselves. A promise is broken where more than the promised share of the other half's defects
    passes. Exit code 1 when it is broken more often than the confidence allows.
    """
    from lab.velm.certifying import watch_halves
    from lab.velm.predictions import our_matching, read_answers
    from policies.review.certify import Promise

    try:
        promises = [Promise(share, confidence) for share in escape or (0.05, 0.10)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    pairs = read_answers(file, descriptions, our_matching)
    found = []
    with progress() as bar:
        for promise in bar.track(promises, description="halves"):
            found.append(watch_halves(pairs, promise, splits, seed))
    body = [asdict(kept) for kept in found]
    print_found(body, [_table(found, confidence), _EXPLAINED], as_json)
    broken = any(kept.certified.exceeded > promises[0].level for kept in found)
    raise typer.Exit(1 if broken else 0)


_EXPLAINED = (
    "Of the parts that the expert found odd, all objects together. A class alone is certified by "
    "the share of defects among the parts that pass under it."
)


def _table(found: "Sequence[Kept]", confidence: float) -> Table:
    columns = [watched for kept in found for watched in (kept.certified, kept.raw)]
    words = [(f"{100 * kept.escape:g} %" for kept in found), ("certified", "as answered")]
    shares = {
        "splits that break the promise": [w.exceeded for w in columns],
        "defects that pass": [w.escapes for w in columns],
        "negligible parts that pass": [w.negligible_passing for w in columns],
        "defects among the parts that pass": [w.wrong_of_passing for w in columns],
    }
    rows = [[name, *(f"{100 * share:.1f} %" for share in row)] for name, row in shares.items()]
    rows.append(["classes that pass", *(f"{watched.classes:.1f}" for watched in columns)])
    alone = [cell for kept in found for cell in (f"{kept.single_classes:.1f}", "")]
    rows.append(["classes that are certified each alone", *alone])
    title = (
        f"Half certifies, half is watched: {found[0].splits} splits, confidence {confidence:.0%}"
    )
    return table_of(["promised", *(" ".join(pair) for pair in product(*words))], rows, title)
