"""Pictures that a prompt takes from one class to another: said, and written in the audit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from andon.deeds import deed_here
from andon.settings import load_settings
from andon.wiring import opened
from andon.wiring.console import console_audit
from serving.bundles import digest_of
from serving.naming.exemplars import load_bundle
from serving.naming.teaching import Lesson
from streams.errors import AndonError
from streams.names import normal_form

MOVE = "exemplar.move"


@dataclass(frozen=True)
class MovedPicture:
    """A picture that was taught under one class, and is under another from now on."""

    name: str
    before: str
    after: str


def moved_by(before: Path | None, lessons: Sequence[Lesson]) -> list[MovedPicture]:
    """What teaching the lessons onto a bundle takes from another class.

    Args:
        before: the bundle's folder; None begins a new one.
    """
    known: dict[str, str] = {}
    for exemplar in load_bundle(before).exemplars if before is not None else ():
        known |= {exemplar.origin or exemplar.sha256: exemplar.class_name}
        known |= {exemplar.sha256: exemplar.class_name}
    found = []
    for lesson in lessons:
        digest, after = digest_of(lesson.image), normal_form(lesson.class_name)
        old = known.get(digest, after)
        if old != after:
            found.append(MovedPicture(lesson.name or digest[:12], old, after))
        known[digest] = after
    return found


def tell_moved(product: str, moved: Sequence[MovedPicture]) -> None:
    """Say which pictures changed their class; where no database answers, that too."""
    for each in moved:
        typer.echo(
            f"{each.name}: was taught as {each.before!r} and is {each.after!r} from now on: a "
            f"picture shows one class",
            err=True,
        )
    if not moved:
        return
    try:
        asyncio.run(_write(product, moved))
    except AndonError as error:
        typer.echo(f"this is not in the audit: {error}", err=True)


async def _write(product: str, moved: Sequence[MovedPicture]) -> None:
    async with opened(console_audit, load_settings()) as audit:
        for each in moved:
            deed = deed_here(MOVE, product, after=each.after, reason=each.name)
            await audit.append(deed.model_copy(update={"before": each.before}))
