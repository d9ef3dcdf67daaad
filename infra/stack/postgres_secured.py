"""A PostgreSQL that lets in whom it knows: every session by a password, also the superuser's.

The wheel's build has no TLS. The server listens on loopback alone, and a password is proved by
SCRAM (RFC 7677) without being sent.
"""

import hashlib
import hmac
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.stack.certificates import password_of, write_private

ITERATIONS: Final = 4096
"""Of PBKDF2 in SCRAM: PostgreSQL's own default."""
RULES: Final = "host all all 127.0.0.1/32 scram-sha-256\n"
"""Who may connect (``pg_hba.conf``): everybody by a password, and nobody else."""
_DONE, _RULES_FILE = "andon_logins", "andon_hba.conf"


@dataclass(frozen=True)
class DatabaseSecurity:
    """The logins of one stack's database."""

    folder: Path
    """Of passwords; what is missing is made."""
    superuser: str
    members: Mapping[str, str]
    """Login -> the role whose rights it has; it acts as that role."""
    statements: tuple[str, ...] = ()
    """What the superuser does before: makes the roles."""

    def hba_file(self, data_dir: Path) -> Path:
        """The rules, written where the server reads them."""
        path = data_dir / _RULES_FILE
        write_private(path, RULES)
        _give(path, data_dir)
        return path

    def pending(self, data_dir: Path) -> str:
        """What single-user mode has to do before the server starts; empty when it is done.

        The texts hold verifiers and no passwords. They end as ``postgres --single -j`` wants it.
        """
        if self._mark(data_dir).is_file() and self._mark(data_dir).read_text() == self._known():
            return ""
        return "".join(f"{statement};\n\n" for statement in self._statements())

    def done(self, data_dir: Path) -> None:
        """Remember what ``pending`` named."""
        write_private(self._mark(data_dir), self._known())
        _give(self._mark(data_dir), data_dir)

    def _statements(self) -> Iterator[str]:
        yield from self.statements
        for login, role in self.members.items():
            yield (
                f'DO $$ BEGIN CREATE ROLE "{login}";\n'
                "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            )
            yield f"ALTER ROLE \"{login}\" LOGIN PASSWORD '{verifier(self.password(login))}'"
            yield f'GRANT "{role}" TO "{login}"'
            yield f"ALTER ROLE \"{login}\" SET role = '{role}'"
        yield (
            f"ALTER ROLE \"{self.superuser}\" PASSWORD '{verifier(self.password(self.superuser))}'"
        )

    def password(self, login: str) -> str:
        """Of the database alone: the broker and the object store have others."""
        return password_of(self.folder, f"{login}.postgres")

    def _mark(self, data_dir: Path) -> Path:
        return data_dir / _DONE

    def _known(self) -> str:
        """Changes with every statement, login and password."""
        passwords = [self.password(login) for login in (*self.members, self.superuser)]
        known = repr((sorted(self.members.items()), passwords, self.statements))
        return hashlib.sha256(known.encode()).hexdigest()


def verifier(password: str) -> str:
    """What PostgreSQL keeps of a password: nobody can log in by it.

    >>> verifier("secret").startswith("SCRAM-SHA-256$4096:")
    True
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    a, b, c = (b64encode(part).decode() for part in (salt, stored, server_key))
    return f"SCRAM-SHA-256${ITERATIONS}:{a}${b}:{c}"


def _give(path: Path, data_dir: Path) -> None:
    """The server's account may not be ours."""
    owner = data_dir.stat()
    if owner.st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid)
