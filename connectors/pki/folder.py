"""The folder of certificates of one side: its own, those it trusts, and those it turned away.

``own/`` holds the certificate and the key, ``trusted/`` the trust list, ``issuers/`` authorities
that only complete a chain, ``crl/`` their revocation lists, and ``rejected/`` what was refused and
waits for a person. All but the key may be PEM or DER, by any name.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from connectors.errors import CertificateError
from connectors.pki.certificates import (
    Identity,
    digest,
    read_certificates,
    read_file,
    read_identity,
    thumbprint,
)
from connectors.pki.trust import TrustList

REJECTED_LIMIT: Final = 64
"""Certificates kept in ``rejected/``; the oldest goes when another comes."""
_PRIVATE: Final = 0o600
T = TypeVar("T")


@dataclass(frozen=True)
class PkiFolder:
    """Certificates on disk.

    Args:
        root: the folder.
        certificate: this side's own certificate, where it is kept elsewhere.
        key: its private key.
    """

    root: Path
    certificate: Path | None = None
    key: Path | None = None

    @property
    def certificate_file(self) -> Path:
        """Where this side's own certificate is."""
        return self.certificate or self.root / "own" / "certificate.der"

    @property
    def key_file(self) -> Path:
        """Where its private key is."""
        return self.key or self.root / "own" / "key.pem"

    @property
    def has_identity(self) -> bool:
        """Whether this side has a certificate and a key."""
        return self.certificate_file.exists() and self.key_file.exists()

    def identity(self) -> Identity:
        """This side's own certificate and key.

        Raises:
            CertificateError: there are none, or they do not belong together.
        """
        return read_identity(self.certificate_file, self.key_file)

    def keep_identity(self, identity: Identity) -> None:
        """Write this side's certificate and key; nobody else may read the key.

        Raises:
            CertificateError: a file cannot be written.
        """
        _write(self.key_file, identity.key_pem)
        _write(self.certificate_file, identity.certificate_der)

    def trust_list(self) -> TrustList:
        """What is trusted now.

        Raises:
            CertificateError: names the file that cannot be read: a revocation list that is passed
                over would trust what is revoked.
        """
        return TrustList(
            _all(self.root / "trusted", _certificates),
            _all(self.root / "issuers", _certificates),
            _all(self.root / "crl", _revocation_lists),
        )

    def listed(self, place: str) -> list[x509.Certificate]:
        """The certificates in one of the folders below this one."""
        return _all(self.root / place, _certificates)

    def find(self, thumb: str) -> tuple[str, x509.Certificate] | None:
        """The certificate of a thumbprint (SHA-1 or SHA-256, signs between are passed over), and
        the folder that it is in."""
        wanted = "".join(sign for sign in thumb if sign.isalnum()).upper()
        for place in ("trusted", "issuers", "rejected"):
            for one in self.listed(place):
                if wanted in (thumbprint(one), digest(one)):
                    return place, one
        return None

    def put(self, place: str, certificate: x509.Certificate) -> Path:
        """Keep a certificate in one of the folders, and in no other."""
        path = self.root / place / f"{thumbprint(certificate)}.der"
        _write(path, certificate.public_bytes(Encoding.DER))
        for other in {"trusted", "issuers", "rejected"} - {place}:
            self.remove(other, certificate)
        if place == "rejected":
            kept = sorted((self.root / place).glob("*.der"), key=lambda one: one.stat().st_mtime)
            for old in kept[:-REJECTED_LIMIT]:
                old.unlink(missing_ok=True)
        return path

    def remove(self, place: str, certificate: x509.Certificate) -> bool:
        """Take a certificate out of a folder, whatever its file is called; whether it was there.

        Raises:
            CertificateError: it stands in a file with others.
        """
        was_there = False
        for path in _files(self.root / place):
            found = _certificates(path)
            if certificate not in found:
                continue
            if len(found) > 1:
                raise CertificateError(
                    f"{path} holds {len(found)} certificates; take "
                    f"{thumbprint(certificate)} out of it by hand"
                )
            path.unlink()
            was_there = True
        return was_there


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def _all(folder: Path, read: Callable[[Path], Sequence[T]]) -> list[T]:
    try:
        return [one for path in _files(folder) for one in read(path)]
    except OSError as error:
        raise CertificateError(f"{folder} cannot be read: {error.strerror}") from None


def _certificates(path: Path) -> list[x509.Certificate]:
    return read_certificates(read_file(path), str(path))


def _revocation_lists(path: Path) -> list[x509.CertificateRevocationList]:
    data = read_file(path)
    try:
        if b"-----BEGIN" in data:
            return [x509.load_pem_x509_crl(data)]
        return [x509.load_der_x509_crl(data)]
    except ValueError as error:
        raise CertificateError(f"{path} is no revocation list: {error}") from None


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), _PRIVATE)
                file.write(data)
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        raise CertificateError(f"{path} cannot be written: {error.strerror}") from None
