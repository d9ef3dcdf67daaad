"""An offline bundle: the folder or tar from which a machine without a network installs Andon.

``SHA256SUMS`` names every other file with its hash, in the form of ``sha256sum``, so that the
bundle's own ``install.sh`` needs nothing of Andon to check it. The hash of ``SHA256SUMS`` is the
bundle's digest: whoever carries that by another way knows that the bundle is the one that was made.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from streams.errors import AndonError
from streams.settings import Section

SUMS: Final = "SHA256SUMS"
MANIFEST: Final = "manifest.json"
_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")
_CHUNK: Final = 1 << 20


class OfflineBundleError(AndonError):
    """A bundle is not whole, or none can be made; the message says why."""


class OfflineManifest(Section):
    """What a bundle holds."""

    version: str
    """Of Andon."""
    commit: str
    """Of its source, in hexadecimal; ends with ``+`` where files were changed since."""
    machine: str
    """Operating system and processor, as ``linux-x86_64``."""
    python: str
    """As ``3.11``."""
    extras: tuple[str, ...] = ()
    packages: int
    """Wheels, Andon's own included."""
    experts: tuple[str, ...] = ()
    """Trained experts, as ``product/version``."""


@dataclass(frozen=True)
class WholeBundle:
    """A bundle in which every file has the hash that it must have."""

    manifest: OfflineManifest
    files: int
    size: int
    """Bytes of all files."""
    digest: str
    """SHA-256 of ``SHA256SUMS``, in hexadecimal."""


def sums_text(hashes: Mapping[str, str]) -> str:
    """``SHA256SUMS``, from hashes by path, in the order of the paths.

    >>> sums_text({"b": "22", "a": "11"})
    '11  a\\n22  b\\n'
    """
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))


def hash_of(stream: IO[bytes]) -> str:
    """SHA-256 of what is left of a stream, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def verify(path: Path, digest: str | None = None) -> WholeBundle:
    """Read a bundle, a folder or a tar, and compare every file with its hash. Nothing is unpacked.

    Args:
        path: the folder, or the tar file.
        digest: what ``SHA256SUMS`` must hash to; None where that is not known.

    Raises:
        OfflineBundleError: a file lacks, is another one, or is not named; or the digest differs.
    """
    hashes, small, size = {}, {}, 0
    try:
        for name, length, stream in _files_of(path):
            if name in (SUMS, MANIFEST):
                small[name] = stream.read()
                hashes[name] = hashlib.sha256(small[name]).hexdigest()
            else:
                hashes[name] = hash_of(stream)
            size += length
    except (OSError, tarfile.TarError) as error:
        raise OfflineBundleError(f"{path}: {error}") from error
    if SUMS not in small:
        raise OfflineBundleError(f"{path}: no {SUMS} in it; this is no offline bundle")
    found = hashes.pop(SUMS)
    if digest is not None and digest.lower() != found:
        raise OfflineBundleError(f"{path}: the digest is {found}, not {digest}: another bundle")
    _compare(path, _named(path, small[SUMS]), hashes)
    try:
        manifest = OfflineManifest.model_validate_json(small.get(MANIFEST, b""))
    except ValidationError as error:
        raise OfflineBundleError(f"{path}: {MANIFEST}: {error.errors()[0]['msg']}") from None
    return WholeBundle(manifest, len(hashes) + 1, size, found)


def _files_of(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Path inside the bundle, length in bytes and content of each file."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_symlink() or not (file.is_file() or file.is_dir()):
                raise OfflineBundleError(f"{file}: neither a file nor a folder")
            if file.is_file():
                with file.open("rb") as stream:
                    yield file.relative_to(path).as_posix(), file.stat().st_size, stream
        return
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                raise OfflineBundleError(f"{path}: {member.name}: neither a file nor a folder")
            yield member.name.partition("/")[2], member.size, content


def _named(path: Path, sums: bytes) -> dict[str, str]:
    """Hashes by path, as ``SHA256SUMS`` names them."""
    named = {}
    for number, line in enumerate(sums.decode("utf-8", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise OfflineBundleError(f"{path}: {SUMS}:{number}: not of the form `hash  path`")
        named[match[2]] = match[1]
    return named


def _compare(path: Path, named: Mapping[str, str], found: Mapping[str, str]) -> None:
    faults = [f"{name} lacks" for name in named.keys() - found.keys()]
    faults += [f"{name} is not named in {SUMS}" for name in found.keys() - named.keys()]
    faults += [
        f"{name} is another file than was bundled"
        for name in named.keys() & found.keys()
        if named[name] != found[name]
    ]
    if faults:
        shown = "; ".join(sorted(faults)[:5])
        more = f"; {len(faults) - 5} more" if len(faults) > 5 else ""
        raise OfflineBundleError(f"{path}: {shown}{more}")
