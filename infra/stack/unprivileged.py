"""Run a program as an ordinary user when we are root: PostgreSQL refuses to run as root.

No account is created and no permission of a folder that is not ours is changed. Where a folder on
the way (a home of mode 0700) would stop the ordinary user, the program keeps the one capability
to look things up (``CAP_DAC_READ_SEARCH``) through util-linux's ``setpriv``.
"""

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from infra.stack.process import ProcessError

_PREFERRED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An ordinary user of this machine."""

    uid: int
    gid: int


def needed() -> bool:
    """Whether this process is root."""
    return os.geteuid() == 0


def choose_account(data_dir: Path) -> Account:
    """The owner of ``data_dir`` when it exists, else ``postgres``, else ``nobody``.

    Raises:
        ProcessError: the machine has neither account.
    """
    if data_dir.exists():
        found = data_dir.stat()
        if found.st_uid != 0:
            return Account(found.st_uid, found.st_gid)
    for name in _PREFERRED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ProcessError(
        "PostgreSQL does not run as root and this machine has no account "
        f"{' or '.join(_PREFERRED)}: run as another user, or create one of them"
    )


def prefix(account: Account, tethered: bool, *paths: Path) -> list[str]:
    """The words before a command that make it run as ``account``, able to reach ``paths``.

    Raises:
        ProcessError: ``setpriv`` is missing.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ProcessError(
            "PostgreSQL does not run as root and `setpriv` (package util-linux) is not installed: "
            "install it, or run as another user"
        )
    words = [setpriv, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    if not all(_reachable(path) for path in paths):
        words += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if tethered:
        words += ["--pdeathsig=KILL"]
    return words


def _reachable(path: Path) -> bool:
    """Whether everybody may pass through every folder above ``path``."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
