"""``andon models``: the versions of a product's expert, and which of them is in force."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from andon.cli.history.asking import moment
from andon.cli.options import By, Json, OneProduct, group, plant_name
from andon.cli.printing import print_found, table_of_rows
from andon.cli.reasons import stated_reason
from andon.deeds import declared_deed, deed_here
from andon.learning.alone import refuse_rollback_alone, refuse_use_alone
from andon.learning.catalogue import read_versions
from andon.learning.changing import (
    WAIT_S,
    Tell,
    open_stores,
    point_shadow,
    roll_back,
    use_version,
)
from andon.learning.versions import find_version
from andon.settings import load_settings
from andon.wiring import opened, storage
from andon.wiring.console import console_audit
from history.console_audit import Deed
from history.model_log import ModelChange, ShadowCount
from serving.bundle_store import SHADOW
from serving.expert_versions import Version

app = group("Versions of the experts: what there is, what is in force, and the way back.")

Product = Annotated[str, typer.Argument(callback=plant_name, help="The product, as in its policy.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit. Asked for where it is absent.")]
Wait = Annotated[
    float, typer.Option(min=1, max=3600, help="Longest wait for the replicas, seconds.")
]


@app.command("list")
def list_(
    product: OneProduct = None,
    as_json: Json = False,
) -> None:
    """Each version: trained and taught on what, held-out figures, in force since when, by whom.

    The store alone is needed; without database or Serve, what they know is left out and said.
    """
    settings = load_settings()
    found, unknown = asyncio.run(read_versions(settings, open_stores(settings), product))
    for line in unknown:
        Console(stderr=True).print(f"[yellow]not known:[/] {escape(line)}", soft_wrap=True)
    shown = [_table(found)] if found else ["no version in the store; `andon train` makes one"]
    print_found([version.model_dump(mode="json") for version in found], shown, as_json)


@app.command()
def use(
    product: Product,
    version: Annotated[str, typer.Argument(help="Its digest, or the beginning of it.")],
    exemplars: Annotated[
        str | None,
        typer.Option(help="Exemplar bundle; by default the one that belongs to the version."),
    ] = None,
    reason: Reason = "",
    by: By = "",
    wait: Wait = WAIT_S,
    as_json: Json = False,
) -> None:
    """Put a version in force: returns once every replica answers with it, or fails and says why.

    With `ANDON_CONSOLE__SECOND_PERSON=always` another version than the one in force is asked for on
    the console's page Models, and refused here.
    """
    settings, why = load_settings(), stated_reason(reason)
    digest = find_version(version, open_stores(settings).experts.versions(product), product)

    async def work(tell: Tell) -> ModelChange:
        await refuse_use_alone(settings, product, digest, exemplars)
        await _write(declared_deed("model.use", product, by, why, after=digest))
        return await use_version(settings, product, digest, by, why, exemplars, wait, tell)

    _show(_waited(work), as_json)


@app.command()
def rollback(
    product: Product,
    reason: Reason = "rollback",
    by: By = "",
    wait: Wait = WAIT_S,
    as_json: Json = False,
) -> None:
    """Return to the version before the last change, its exemplars included.

    Where `use` is refused, so is this: `andon policy withdraw` holds every part meanwhile.
    """
    settings, why = load_settings(), stated_reason(reason)

    async def work(tell: Tell) -> ModelChange:
        await refuse_rollback_alone(settings, product)
        await _write(declared_deed("model.rollback", product, by, why))
        return await roll_back(settings, product, by, why, wait, tell)

    _show(_waited(work), as_json)


@app.command()
def shadow(
    product: Product,
    version: Annotated[
        str | None, typer.Argument(help="Scored from now on beside the one in force.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Score nothing beside any more.")] = False,
    since: Annotated[str, typer.Option(help="Frames from then on: 30d, 2h, 2026-11-23.")] = "30d",
    as_json: Json = False,
) -> None:
    """Let Serve score a version beside the one in force, without action; what it said so far.

    It scores a share of the frames (`vision.shadow_share` of Serve's configuration), only while no
    frame waits.
    """
    settings = load_settings()
    begin = moment(since)
    store = open_stores(settings).experts
    if version is not None and stop:
        raise typer.BadParameter("give a version or --stop, not both")
    if version is not None or stop:
        point_shadow(store, product, version)  # nobody acts on it, so it need not wait for its row
        digest = store.pointed(product, SHADOW) or ""
        asyncio.run(_write(deed_here("model.shadow", product, after=digest)))

    async def read() -> list[ShadowCount]:
        async with opened(storage.model_log, settings) as audit:
            return await audit.shadows(begin, product)

    found = asyncio.run(read())
    now = store.pointed(product, SHADOW)
    columns = ("version", "frames", "both odd", "only shadow", "only in force", "until (UTC)")
    rows = (
        (
            c.expert_version[:12],
            str(c.frames),
            str(c.both),
            str(c.only_shadow),
            str(c.only_in_force),
            f"{c.last_at:%Y-%m-%d %H:%M:%S}",
        )
        for c in found
    )
    body = {"shadow": now, "counts": [count.model_dump(mode="json") for count in found]}
    words = f"in the shadow: {now or 'nothing'}"
    if now is not None and now == store.in_force(product):
        words += ", which is in force by now: nothing is scored beside it"
    print_found(body, [words, table_of_rows(columns, rows)], as_json)


@app.command()
def log(
    product: Annotated[str | None, typer.Argument(help="One product; all without.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Latest changes to list.")] = 50,
    as_json: Json = False,
) -> None:
    """Who put which version in force, when and why; the latest first."""

    async def read() -> list[ModelChange]:
        async with opened(storage.model_log, load_settings()) as audit:
            return await audit.changes(product, limit)

    changes = asyncio.run(read())
    columns = ("when (UTC)", "product", "from", "to", "exemplars", "who", "why")
    rows = (
        (
            f"{c.applied_at:%Y-%m-%d %H:%M:%S}",
            escape(c.product_id),
            (c.from_expert or "none")[:12],
            c.to_expert[:12],
            (c.to_exemplars or "none")[:12],
            escape(c.applied_by),
            escape(c.reason),
        )
        for c in changes
    )
    body = [change.model_dump(mode="json") for change in changes]
    print_found(body, [table_of_rows(columns, rows)], as_json)


async def _write(deed: Deed) -> None:
    """What somebody wants, in the audit before it is done, as the console does."""
    async with opened(console_audit, load_settings()) as audit:
        await audit.append(deed)


def _waited(work: Callable[[Tell], Coroutine[object, object, ModelChange]]) -> ModelChange:
    """Do it, and say meanwhile which replicas it waits for."""
    console = Console(stderr=True, soft_wrap=True)
    with console.status("waiting until every replica has it"):
        return asyncio.run(work(lambda words: console.print(escape(words))))


def _show(change: ModelChange, as_json: bool) -> None:
    words = (
        f"in force on every replica: {escape(change.product_id)} {change.to_expert} "
        f"(audit entry {change.id})"
    )
    print_found(change.model_dump(mode="json"), [words], as_json)


def _table(versions: Sequence[Version]) -> Table:
    columns = (
        "product",
        "version",
        "written (UTC)",
        "trained on",
        "taught",
        "synthetic found",
        "in force since",
        "by",
        "replicas",
    )
    return table_of_rows(columns, (_row(version) for version in versions))


def _row(version: Version) -> tuple[str, ...]:
    state = "in force" if version.in_force else "shadow" if version.shadow else ""
    when = f"{version.since:%Y-%m-%d %H:%M:%S}" if version.since else ""
    since = f"{when or 'it was trained'}" if version.in_force else state
    trained = f"{version.images} images, {version.parts} parts" if version.images else ""
    taught = version.taught or {}
    counts = taught.get("classes")
    named = counts if isinstance(counts, dict) else {}
    words = ", ".join(f"{name} {own['photographs']}" for name, own in named.items())
    found = f"{version.sensitivity:.0%}" if version.sensitivity is not None else ""
    return (
        escape(version.product),
        version.digest[:12],
        f"{version.written_at:%Y-%m-%d %H:%M:%S}",
        trained,
        escape(words) or ("yes" if taught else ""),
        found,
        since,
        escape(version.by) if version.in_force else "",
        str(version.replicas or ""),
    )
