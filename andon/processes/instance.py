"""Which of the workers of a role this process is: a name that no other one on this host has.

Static membership of a consumer group needs it. The broker takes two members of one name for the
same worker and ends the first one's session, so that neither of them gets ready for good.
"""

import contextlib
import fcntl
import itertools
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from streams.errors import AndonError

AT_WORK: Final = "at work"
"""Stands in the file of a worker that has joined its group."""


class InstanceTakenError(AndonError):
    """Another worker of the role has the name that this one was given."""


class StateFolderError(AndonError):
    """The state folder cannot be written, so that no name can be held."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A worker's name, held by a locked file."""

    name: str
    file: IO[str]

    def joined(self) -> None:
        """The worker has joined its group: from now on it counts as at work."""
        self.file.write(f"\n{AT_WORK}")
        self.file.flush()


@dataclass
class Workers:
    """The workers of one role that run on this host with one state folder."""

    at_work: int = 0
    joining: int = 0


@contextmanager
def claimed_instance(role: str, wanted: str, state: Path) -> Iterator[Instance]:
    """The name of this worker for as long as the context lasts; a process that dies frees it.

    Args:
        role: the workers' role.
        wanted: a name of its own, or nothing: then the host, the state folder and the lowest number
            that is free make one, and a worker that is started again finds the same.
        state: the state folder of this host; the names are held by locked files in it.

    Raises:
        InstanceTakenError: a worker of the role on this host has the wanted name.
        StateFolderError: the folder cannot be written.
    """
    try:
        own = _claimed(role, wanted, state)
    except OSError as error:
        why = error.strerror or str(error)
        said = f"ANDON_PATHS__STATE: {state} cannot be written as user {os.getuid()}: {why}"
        raise StateFolderError(f"{said}; give it to the user, or name another folder") from None
    with own.file:
        yield own


def _claimed(role: str, wanted: str, state: Path) -> Instance:
    folder = state / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    held: IO[str] | str
    if wanted:
        name = wanted
        held = _lock(folder / f"{role}-{name}.lock")
        if isinstance(held, str):
            raise InstanceTakenError(
                f"ANDON_WORKER__INSTANCE: another `andon worker {role}` on this host is instance "
                f"{name!r}{held}; leave the setting out, or give each worker one of its own"
            )
    else:
        here = _id_of(folder)
        for number in itertools.count():
            name = f"{socket.gethostname()}-{here}-{number}"
            held = _lock(folder / f"{role}-{name}.lock")
            if not isinstance(held, str):
                break
    assert not isinstance(held, str)
    return Instance(name, held)


def workers_here(state: Path) -> dict[str, Workers]:
    """The workers of each role that run on this host with this state folder."""
    found: dict[str, Workers] = {}
    for path in sorted((state / "workers").glob("*.lock")):
        with contextlib.suppress(OSError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                of_role = found.setdefault(path.name.partition("-")[0], Workers())
                if AT_WORK in file.read(64):
                    of_role.at_work += 1
                else:
                    of_role.joining += 1
    return found


def ended_here(state: Path) -> dict[str, set[str]]:
    """Names that workers of each role had on this host, of which none runs any more.

    Names that were given by settings are left out: such a worker may run on another host by now.
    """
    folder, found = state / "workers", dict[str, set[str]]()
    if not (folder / "id").exists():
        return found
    made = f"{socket.gethostname()}-{_id_of(folder)}-"
    for path in sorted(folder.glob("*.lock")):
        role, _, name = path.stem.partition("-")
        if not name.startswith(made):
            continue
        with contextlib.suppress(OSError), path.open() as file:  # held: it runs
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found.setdefault(role, set()).add(name)
    return found


def _id_of(folder: Path) -> str:
    """A random name of the state folder, made once: hosts that were cloned are called alike, and
    keep their state below the same path."""
    kept = folder / "id"
    if not kept.exists():
        drawn = folder / f"id.{os.getpid()}"
        drawn.write_text(secrets.token_hex(4))
        with contextlib.suppress(FileExistsError):  # another worker was quicker: its own counts
            os.link(drawn, kept)
        drawn.unlink()
    return kept.read_text()[:8]


def _lock(path: Path) -> IO[str] | str:
    """The locked file, which holds this process's id; or who has it, in words."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with file:
            file.seek(0)
            pid = file.readline().strip()
        return f" (process {pid})" if pid else " already"
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
