"""Passwords and secrets: how they are made, kept and compared."""

import asyncio
import hashlib
import secrets
from itertools import pairwise
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_LENGTH: Final = 12
"""Characters of a password; longer is better than more kinds of characters (NIST SP 800-63B)."""
MOST_LENGTH: Final = 256
_SYLLABLES: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""What is read aloud and typed without a mistake: no l, no i, no o, no 0, no 1."""
_HASHER: Final = PasswordHasher()
"""Argon2id with the parameters of RFC 9106 for little memory: 64 MiB, three passes."""
_AT_ONCE: Final = asyncio.Semaphore(2)
"""Each takes 64 MiB and a core for a moment, whoever asks."""
_NOBODY: Final = _HASHER.hash("nobody has this password")


PIN_LENGTHS: Final = range(6, 13)
"""Digits of a PIN. It is short because it opens little: a short session on one shared terminal."""


def is_weak_pin(pin: str) -> bool:
    """Whether it is no PIN, or one that is guessed first.

    >>> [is_weak_pin(pin) for pin in ("482913", "111111", "123456", "654321", "48291", "48291a")]
    [False, True, True, True, True, True]
    """
    if len(pin) not in PIN_LENGTHS or not (pin.isascii() and pin.isdecimal()):
        return True
    steps = {int(b) - int(a) for a, b in pairwise(pin)}
    return len(steps) == 1 and steps <= {-1, 0, 1}


def new_password() -> str:
    """A password of 77 bits that is typed once.

    >>> len(new_password())
    19
    """
    groups = ("".join(secrets.choice(_SYLLABLES) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def new_secret() -> str:
    """256 bits for a cookie or a token."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """Under which a secret is kept. It needs no salt: nobody can guess 256 bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def password_hash(password: str) -> str:
    """Argon2id of a password, in the form that says its own parameters."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_HASHER.hash, password)


async def is_password(kept: str | None, password: str) -> bool:
    """Whether it is the one that was hashed; takes as long where there is none (``None``)."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_verify, kept, password)


def _verify(kept: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(kept or _NOBODY, password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False
