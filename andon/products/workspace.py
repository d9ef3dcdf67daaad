"""The folder of one draft: its state, its pictures, and what training made of them.

``<root>/<key>/draft.json`` is the state, written whole under a lock, so that a page and a command
may change it at the same time. Nothing of it reaches the line before the last step.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from console.product_drafts import (
    Corner,
    DraftClass,
    DraftDefect,
    DraftError,
    DraftNormal,
    DraftWork,
    PictureKind,
    ProductDraft,
)
from serving.bundles import digest_of, write_whole
from serving.experts.images import fault_of_picture
from streams.images.files import CONTENT_TYPES
from streams.names import fault_of, key_of, normal_form

MOST_NORMALS: Final = 2000
MOST_DEFECTS: Final = 200
MOST_BYTES: Final = 64 << 20
"""Of one picture."""
MOST_CORNERS: Final = 500
_LONGEST_NAME: Final = 80
_FOLDERS: Final = {
    PictureKind.NORMAL: "normals",
    PictureKind.ODD: "odd",
    PictureKind.DEFECT: "defects",
}
MASKS: Final = "masks"
_STATE: Final = "draft.json"
_WORK: Final = "work.json"
_POLICY: Final = "policy.yaml"


class Workspace:
    """One draft on disk.

    Args:
        folder: of this draft alone; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether the draft was begun."""
        return (self.folder / _STATE).is_file()

    @property
    def policy_file(self) -> Path:
        """The draft's policy, for people and the validator."""
        return self.folder / _POLICY

    @property
    def experts(self) -> Path:
        """The root of the experts that were trained for it."""
        return self.folder / "experts"

    @property
    def exemplars(self) -> Path:
        """The root of the exemplar bundles that were made for it."""
        return self.folder / "exemplars"

    def begin(self, product: str, by: str) -> ProductDraft:
        """A new draft, or the one that there is.

        Raises:
            DraftError: the product's name is none.
        """
        product = normal_form(product)
        if fault := fault_of(product):
            raise DraftError(f"product {product[:80]!r} {fault}")
        if self.exists:
            return self.read()
        self.folder.mkdir(parents=True, exist_ok=True)
        new = ProductDraft(product=product, key=key_of(product), by=by, began_at=datetime.now(UTC))
        return self._write(new)

    def read(self) -> ProductDraft:
        """The state.

        Raises:
            DraftError: there is none, or it is damaged.
        """
        try:
            body = (self.folder / _STATE).read_bytes()
        except OSError:
            raise DraftError(
                f"there is no draft {self.folder.name!r}; begin one with a product's name"
            ) from None
        try:
            return ProductDraft.model_validate_json(body)
        except ValueError:
            raise DraftError(f"{self.folder / _STATE} is damaged: discard the draft") from None

    def change(self, how: Callable[[ProductDraft], ProductDraft]) -> ProductDraft:
        """Read the state, let it be changed, write it; nobody else does so meanwhile."""
        with _locked(self.folder / ".lock"):
            return self._write(how(self.read()))

    def _write(self, draft: ProductDraft) -> ProductDraft:
        write_whole(self.folder / _STATE, draft.model_dump_json(indent=1).encode())
        return draft

    def add_normal(self, name: str, body: bytes, part: str = "") -> ProductDraft:
        """Take a picture of a normal part; the same picture again may say its part.

        Raises:
            DraftError: no picture that experts can take, or too many or too large.
        """
        digest = _checked(name, body)

        def add(draft: ProductDraft) -> ProductDraft:
            new = next((n for n in draft.normals if n.digest == digest), None)
            if new is None:
                if len(draft.normals) >= MOST_NORMALS:
                    raise DraftError(f"over {MOST_NORMALS} pictures are not taken: they are enough")
                own = self._place(PictureKind.NORMAL, name, [n.name for n in draft.normals], body)
                new = DraftNormal(name=own, digest=digest)
            new = new.model_copy(update={"part": part or new.part})
            normals = {n.name: n for n in draft.normals} | {new.name: new}
            return draft.model_copy(update={"normals": tuple(normals.values())})

        return self.change(add)

    def add_defect(
        self,
        name: str,
        body: bytes,
        class_name: str = "",
        mask: bytes | None = None,
        part: str = "",
    ) -> ProductDraft:
        """Take a defect's picture; the same again takes the class, mask (PNG, >127), part given.

        Raises:
            DraftError: as of ``add_normal``.
        """
        digest = _checked(name, body)
        class_name = class_name and _class_name(class_name)

        def add(draft: ProductDraft) -> ProductDraft:
            new = next((d for d in draft.defects if d.digest == digest), None)
            if new is None:
                _check_new(draft, name, digest)
                own = self._place(PictureKind.DEFECT, name, [d.name for d in draft.defects], body)
                new = DraftDefect(name=own, digest=digest)
            said = {"class_name": class_name or new.class_name, "part": part or new.part}
            new = new.model_copy(update=said)
            if mask is not None:
                write_whole(self.folder / MASKS / f"{new.name}.png", mask)
                new = new.model_copy(update={"masked": True, "mask": digest_of(mask)})
            defects = {d.name: d for d in draft.defects} | {new.name: new}
            return _with_classes(draft.model_copy(update={"defects": tuple(defects.values())}))

        return self.change(add)

    def keep(self, name: str, kept: bool) -> ProductDraft:
        """Take a normal out of the next training, or in again."""

        def change(draft: ProductDraft) -> ProductDraft:
            _one_of([n.name for n in draft.normals], name)
            normals = (
                n.model_copy(update={"kept": kept}) if n.name == name else n for n in draft.normals
            )
            return draft.model_copy(update={"normals": tuple(normals)})

        return self.change(change)

    def name_defect(self, name: str, class_name: str, outline: Sequence[Corner]) -> ProductDraft:
        """Say what a defect is called and where it is.

        Raises:
            DraftError: no such picture, no name, or an outline that is none.
        """
        class_name, corners = _class_name(class_name), _outline(outline)

        def change(draft: ProductDraft) -> ProductDraft:
            _one_of([d.name for d in draft.defects], name)
            said = {"class_name": class_name, "outline": corners}
            defects = (d.model_copy(update=said) if d.name == name else d for d in draft.defects)
            return _with_classes(draft.model_copy(update={"defects": tuple(defects)}))

        return self.change(change)

    def remove_defect(self, name: str) -> ProductDraft:
        """Forget a picture of a defect."""

        def change(draft: ProductDraft) -> ProductDraft:
            _one_of([d.name for d in draft.defects], name)
            left = tuple(d for d in draft.defects if d.name != name)
            return _with_classes(draft.model_copy(update={"defects": left}))

        changed = self.change(change)
        (self.folder / _FOLDERS[PictureKind.DEFECT] / name).unlink(missing_ok=True)
        (self.folder / MASKS / f"{name}.png").unlink(missing_ok=True)
        return changed

    def set_class(self, class_name: str, meaning: DraftClass) -> ProductDraft:
        """Say what a kind of defect means for a part."""

        def change(draft: ProductDraft) -> ProductDraft:
            _one_of(list(draft.classes), class_name)
            return draft.model_copy(update={"classes": {**draft.classes, class_name: meaning}})

        return self.change(change)

    def set_rate(self, rate: float) -> ProductDraft:
        """Say which share of normal parts may be called odd."""
        if not 0 < rate <= 0.5:
            raise DraftError(f"a rate of {rate:g} is not between 0 and 0.5")
        return self.change(lambda draft: draft.model_copy(update={"rate": rate}))

    def path(self, kind: PictureKind, name: str) -> Path:
        """The file of one of the draft's pictures.

        Raises:
            DraftError: it has no such picture.
        """
        draft = self.read()
        odd = draft.trained.odd if draft.trained else ()
        names = {
            PictureKind.NORMAL: [n.name for n in draft.normals],
            PictureKind.ODD: [o.name for o in odd],
            PictureKind.DEFECT: [d.name for d in draft.defects],
        }[kind]
        _one_of(names, name)
        return self.folder / _FOLDERS[kind] / (f"{name}.png" if kind is PictureKind.ODD else name)

    def clear_odd(self) -> Path:
        """The empty folder of the pictures that training draws."""
        folder = self.folder / _FOLDERS[PictureKind.ODD]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def mask(self, defect: DraftDefect) -> Path | None:
        """The mask that came with a defect; None where none did."""
        return self.folder / MASKS / f"{defect.name}.png" if defect.masked else None

    def work(self) -> DraftWork | None:
        """The step that runs, or ran last."""
        try:
            return DraftWork.model_validate_json((self.folder / _WORK).read_bytes())
        except (OSError, ValueError):
            return None

    def put_work(self, work: DraftWork) -> None:
        """Say what the step is at."""
        write_whole(self.folder / _WORK, work.model_dump_json().encode())

    def discard(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, kind: PictureKind, name: str, taken: Sequence[str], body: bytes) -> str:
        own = _file_name(name, taken)
        write_whole(self.folder / _FOLDERS[kind] / own, body)
        return own


def _with_classes(draft: ProductDraft) -> ProductDraft:
    """Each class that a defect is called by has a meaning, and no other has."""
    names = sorted({d.class_name for d in draft.named})
    classes = {name: draft.classes.get(name, DraftClass()) for name in names}
    return draft.model_copy(update={"classes": classes})


def _check_new(draft: ProductDraft, name: str, digest: str) -> None:
    if len(draft.defects) >= MOST_DEFECTS:
        raise DraftError(f"over {MOST_DEFECTS} defects are not taken: 20 of a kind suffice")
    if any(normal.digest == digest for normal in draft.kept):
        raise DraftError(f"{name}: this picture is among the normal ones")


def _checked(name: str, body: bytes) -> str:
    """The digest of a picture that experts can take, checked as the frames of the line are."""
    large = f"over {MOST_BYTES >> 20} MiB are not taken"
    if fault := large if len(body) > MOST_BYTES else fault_of_picture(body):
        raise DraftError(f"{name[:80]}: {fault}")
    return digest_of(body)


def _class_name(given: str) -> str:
    name = normal_form(given)
    if fault := fault_of(name):
        raise DraftError(f"the defect's name {name[:80]!r} {fault}")
    if name in ("normal", "unknown"):
        raise DraftError(f"{name!r} is what Andon says by itself: call the defect otherwise")
    return name


def _outline(given: Sequence[Corner]) -> tuple[Corner, ...]:
    if not given:
        return ()
    if not 3 <= len(given) <= MOST_CORNERS:
        raise DraftError(f"an outline has 3 to {MOST_CORNERS} corners, not {len(given)}")
    if any(not 0 <= value <= 1 for corner in given for value in corner):
        raise DraftError("an outline stays within the picture")
    return tuple((round(x, 5), round(y, 5)) for x, y in given)


def _file_name(name: str, taken: Sequence[str]) -> str:
    """A name for the file, near to the given one, which is nobody else's: case tells none apart."""
    given = Path(name.replace("\\", "/")).name
    stem, suffix = Path(given).stem, Path(given).suffix.lower()
    suffix = suffix if suffix in CONTENT_TYPES else ".png"
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:_LONGEST_NAME].strip("_") or "picture"
    used = {other.casefold() for other in taken}
    found, number = f"{plain}{suffix}", 2
    while found.casefold() in used:
        found, number = f"{plain}-{number}{suffix}", number + 1
    return found


def _one_of(names: Sequence[str], name: str) -> None:
    if name not in names:
        raise DraftError(f"the draft has no {name[:80]!r}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if not path.parent.is_dir():
        raise DraftError(f"there is no draft {path.parent.name!r}; begin one with a product's name")
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
