"""Certificates, keys and passwords for a local stack, made on the spot: an authority of its own.

For one machine and a short life. A plant issues certificates by its own authority.
"""

import contextlib
import datetime as dt
import ipaddress
import os
import secrets
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE: Final = dt.timedelta(days=365)
_SKEW: Final = dt.timedelta(hours=1)
"""A certificate is valid from a little before it was made: clocks differ."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class LocalAuthority:
    """Signs the certificates of one stack; its own key stays in the stack's folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's own certificate, which every client is given."""
        return self.folder / "ca.pem"

    def open(self) -> "LocalAuthority":
        """Make the authority where there is none; one that is there stays."""
        private_folder(self.folder)
        if not (self.ca.is_file() and self._key.is_file()):
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("Andon local stack")
            builder = _builder(name, name, key).add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            )
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
            _write_key(self._key, key)
            write_private(self.ca, certificate.public_bytes(serialization.Encoding.PEM).decode())
        return self

    def issue(self, name: str, hosts: Iterable[str] = ("127.0.0.1", "localhost", "::1")) -> KeyPair:
        """A certificate for a server on these hosts, or for a client; one that is there stays.

        Args:
            name: its common name, and its files' name.
            hosts: addresses and names that it is for.
        """
        pair = KeyPair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        if pair.cert.is_file() and pair.key.is_file():
            return pair
        ca = x509.load_pem_x509_certificate(self.ca.read_bytes())
        ca_key = serialization.load_pem_private_key(self._key.read_bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_name(name), ca.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        _write_key(pair.key, key)
        write_private(pair.cert, certificate.public_bytes(serialization.Encoding.PEM).decode())
        return pair

    @property
    def _key(self) -> Path:
        return self.folder / "ca.key"


def password_of(folder: Path, name: str) -> str:
    """The password of a user of the stack: made at the first call, and kept in the folder."""
    path = private_folder(folder) / f"{name}.password"
    if not path.is_file():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text().strip()


def private_folder(folder: Path) -> Path:
    """The folder, made with its parents, which nobody but its owner may open."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody but its owner may read; whoever is interrupted leaves the old."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(draft).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(draft).unlink()


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoded = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, encoded.decode())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + LIFE)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
