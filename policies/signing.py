"""Signatures of policies in force (Ed25519, RFC 8032): who can write the topic makes no policy.

A signature stands over the product, a serial number and the SHA-256 of the message's value. Serials
of a product only rise, so that an older signed policy cannot be brought back by repeating its
message: a rollback is a new signature. A withdrawal is an empty value that is signed.
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.errors import PolicyError
from streams.envelope import Headers, Message, header_dict
from streams.settings import Section

SIGNATURE: Final = "ce_signature"
SIGNED_BY: Final = "ce_signedby"
SERIAL: Final = "ce_serial"
"""Headers beside those of CloudEvents, named as its extension attributes are."""
_MOST_DIGITS = 18


class SigningSettings(Section):
    """Signatures of the policies in force."""

    trusted_keys: Path | None = None
    """Folder of public keys (``*.pub``): policies that none of them signed are refused. Unset:
    every policy on the topic is believed."""
    key_file: Path | None = None
    """Private key with which `andon policy apply` signs (`andon policy key new` makes it)."""


class UnsignedPolicyError(PolicyError):
    """A policy or a withdrawal without a signature of a trusted key."""


@dataclass(frozen=True)
class Signer:
    """A private key, and the clock that serials are taken from."""

    key: Ed25519PrivateKey
    now: Callable[[], float] = time.time

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """The key of a file.

        Raises:
            PolicyError: it cannot be read, or is no Ed25519 key.
        """
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise PolicyError(f"ANDON_SIGNING__KEY_FILE: {path}: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise PolicyError(f"ANDON_SIGNING__KEY_FILE: {path} is no Ed25519 key")
        return cls(key)

    def sign(self, message: Message, after: int = 0) -> Message:
        """The message with its signature.

        Args:
            message: its key is the product.
            after: the highest serial of the product so far; the new one is above it, whatever the
                clock says.
        """
        serial = max(int(self.now() * 1e6), after + 1)
        signature = self.key.sign(_statement(message.key, serial, message.value))
        added = (
            (SIGNATURE, base64.b64encode(signature)),
            (SIGNED_BY, key_id(self.key.public_key()).encode()),
            (SERIAL, str(serial).encode()),
        )
        return replace(message, headers=(*message.headers, *added))


@dataclass(frozen=True)
class TrustedKeys:
    """The public keys whose signatures count, by their id."""

    keys: Mapping[str, Ed25519PublicKey]

    @classmethod
    def load(cls, folder: Path) -> "TrustedKeys":
        """Every ``*.pub`` of a folder.

        Raises:
            PolicyError: there is none, or one cannot be read: nothing would be believed.
        """
        found: dict[str, Ed25519PublicKey] = {}
        for path in sorted(folder.glob("*.pub")):
            try:
                key = serialization.load_pem_public_key(path.read_bytes())
            except (OSError, ValueError) as error:
                raise PolicyError(f"ANDON_SIGNING__TRUSTED_KEYS: {path}: {error}") from None
            if not isinstance(key, Ed25519PublicKey):
                raise PolicyError(f"ANDON_SIGNING__TRUSTED_KEYS: {path} is no Ed25519 key")
            found[key_id(key)] = key
        if not found:
            raise PolicyError(
                f"ANDON_SIGNING__TRUSTED_KEYS: no *.pub in {folder}; see `andon policy key new`"
            )
        return cls(found)

    def serial_of(self, product: bytes, value: bytes, headers: Headers) -> int:
        """The serial of a message whose signature is good.

        Raises:
            UnsignedPolicyError: it has none, or not one of a trusted key over just this.
        """
        said = header_dict(headers)
        if SIGNATURE not in said:
            raise UnsignedPolicyError("it has no signature (`andon policy apply` signs)")
        name, digits = said.get(SIGNED_BY, ""), said.get(SERIAL, "")
        key = self.keys.get(name)
        if key is None:
            raise UnsignedPolicyError(f"its key {name[:16]!r} is not among the trusted ones")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
            raise UnsignedPolicyError("its serial is no number")
        try:
            signature = base64.b64decode(said[SIGNATURE], validate=True)
            key.verify(signature, _statement(product, int(digits), value))
        except (InvalidSignature, ValueError):
            raise UnsignedPolicyError("its signature is not over what it says") from None
        return int(digits)


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def make_key(path: Path) -> str:
    """Write a new private key (mode 0600) and its public one beside it (``.pub``); its id.

    Raises:
        PolicyError: there is a file already, or the folder takes none.
    """
    public = public_file(path)
    if public.exists() or path.suffix == public.suffix:
        raise PolicyError(f"{public} would be written over: no key was made; give it another name")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        public.write_bytes(public_pem(key.public_key()))
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}: no key was made") from None
    return key_id(key.public_key())


def public_file(path: Path) -> Path:
    """Where the public key of a private one is written: ``ada.key`` has ``ada.pub``.

    >>> public_file(Path("ada.key")).name, public_file(Path("plant.2026")).name
    ('ada.pub', 'plant.2026.pub')
    """
    is_kind = path.suffix in (".key", ".pem", ".pub")
    return path.with_suffix(".pub") if is_kind else path.with_name(f"{path.name}.pub")


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The public key as a PEM file holds it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _statement(product: bytes, serial: int, value: bytes) -> bytes:
    """What is signed: unambiguous, whatever a product is called."""
    digest = hashlib.sha256(value).hexdigest()
    return json.dumps(["andon.policy.v1", product.hex(), serial, digest]).encode()
