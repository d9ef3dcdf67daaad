"""The manifest of an exemplar bundle: what ``manifest.json`` must look like."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.bundles import DIGEST, MANIFEST, BundleError, read_file
from serving.naming.false_alarms import Gate
from streams.errors import AndonError

FORMAT: Final = "andon.exemplars.v1"
MAX_MANIFEST_BYTES: Final = 64 << 20


class ExemplarError(AndonError):
    """A bundle of examples that cannot be read, verified or extended."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarkedPicture(_Strict):
    """A picture by its digest, and a mask on it."""

    image: str
    height: int
    width: int
    mask_rle: str
    part: str


class ExemplarEntry(MarkedPicture):
    """A labelled anomaly."""

    class_name: str
    drawn: bool
    origin: str = ""


class HardNormalEntry(MarkedPicture):
    """A normal picture that an expert finds odd."""

    score: float
    weight: float


class GateEntry(_Strict):
    """An expert's held-out scores."""

    expert_version: str
    parts: int
    scores: tuple[float, ...]

    def restored(self) -> Gate:
        """What the entry was made of."""
        return Gate(self.expert_version, self.parts, self.scores)


class NormalEntry(_Strict):
    """A normal picture."""

    image: str
    part: str


class ExemplarManifest(_Strict):
    """All that a bundle says of its pictures."""

    format: str
    product_id: str
    backbone: str
    exemplars: tuple[ExemplarEntry, ...]
    normals: tuple[NormalEntry, ...]
    notes: dict[str, str]
    hard: tuple[HardNormalEntry, ...] = ()
    gate: GateEntry | None = None

    @property
    def images(self) -> set[str]:
        """Names of all the pictures."""
        marked = {shown.image for shown in (*self.exemplars, *self.hard)}
        return marked | {normal.image for normal in self.normals}

    @classmethod
    def read(cls, path: Path) -> "ExemplarManifest":
        """The manifest of a bundle folder.

        Raises:
            ExemplarError: missing, altered, too large or of another format.
        """
        raw = read_verified(path / MANIFEST, path.name if DIGEST.fullmatch(path.name) else None)
        if len(raw) > MAX_MANIFEST_BYTES:
            raise ExemplarError(f"{path / MANIFEST}: larger than {MAX_MANIFEST_BYTES} bytes")
        try:
            manifest = cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ExemplarError(f"{path / MANIFEST}: {where}: {first['msg']}") from None
        if manifest.format != FORMAT:
            raise ExemplarError(
                f"{path / MANIFEST}: format {manifest.format!r}; this build reads {FORMAT!r}"
            )
        for name in manifest.images:
            if not DIGEST.fullmatch(name):
                raise ExemplarError(f"{path / MANIFEST}: {name!r} is not a SHA-256")
        return manifest


def read_verified(path: Path, digest: str | None) -> bytes:
    """The file's bytes, of the digest that is expected.

    Raises:
        ExemplarError: missing or altered.
    """
    try:
        return read_file(path, digest)
    except BundleError as error:
        raise ExemplarError(str(error)) from None
