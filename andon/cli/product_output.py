"""How a draft of a product looks at a prompt."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from andon.cli.printing import plain, table_of_rows
from console.product_drafts import DraftStep, ProductDraft, TrainedDraft, expert_of, next_step

_NEXT = {
    DraftStep.PICTURES: "give pictures of good parts: --images",
    DraftStep.TRAIN: "train: `andon product new {0}`",
    DraftStep.TEACH: "teach its defects: `andon product new {0}`",
    DraftStep.POLICY: "mend the policy, and give it by --policy",
    DraftStep.LIVE: "put it on the line: `andon product new {0} --live`",
}


def draft_lines(
    draft: ProductDraft, folder: Path, notes: Sequence[str]
) -> Iterator[RenderableType]:
    """What is known of a draft, and what it needs next."""
    table = Table(show_header=False, box=None)
    table.add_row("product", plain(draft.product))
    left = len(draft.normals) - len(draft.kept)
    table.add_row("good parts", f"{len(draft.kept)} pictures" + f", {left} taken out" * bool(left))
    if (trained := draft.trained) is not None:
        found = f"; finds {trained.found:.0%} of faint synthetic defects" if trained.found else ""
        table.add_row(
            "expert", f"{expert_of(draft)[:12]}, {trained.rate:.1%} of good parts are odd{found}"
        )
    named = ", ".join(f"{plain(n)} ({m.action.value})" for n, m in draft.classes.items())
    table.add_row("defects", f"{len(draft.named)} pictures: {named}" if named else "none named")
    for name, (now, before) in (draft.taught.found if draft.taught else {}).items():
        table.add_row("", f"{plain(name)}: {now:.0%} found, {before:.0%} before it was taught")
    table.add_row("policy", plain(str(folder / "policy.yaml")))
    if (tried := draft.tried) is not None:
        counted = f"{tried.changed} of {tried.parts} parts would be treated otherwise"
        table.add_row("back-test", tried.words or counted)
    if (live := draft.live) is not None:
        table.add_row("on the line", f"since {live.at:%Y-%m-%d %H:%M:%S} UTC, by {plain(live.by)}")
    yield table
    if trained is not None:
        yield from odd_lines(trained, folder)
        yield from (Text(f"warning: {words}", style="yellow") for words in trained.warnings)
    if draft.checked is not None:
        yield from (Text(f"error: {words}", style="red") for words in draft.checked.errors)
        yield from (Text(f"policy: {words}", style="yellow") for words in draft.checked.warnings)
    yield from (plain(words) for words in notes)
    if (missing := next_step(draft)) is not None:
        yield "next: " + _NEXT[missing].format(plain(shlex.quote(draft.product)))


def odd_lines(trained: TrainedDraft, folder: Path) -> Iterator[RenderableType]:
    """The oddest normals, numbered, and where they are drawn."""
    rows = (
        (str(n), plain(odd.name), f"{odd.score:.2f}", "sets the threshold" * odd.sets_threshold)
        for n, odd in enumerate(trained.odd, 1)
    )
    yield table_of_rows(("", "oddest pictures", "score", ""), rows)
    yield f"drawn in {plain(str(folder / 'odd'))}: is each of them a good part?"
