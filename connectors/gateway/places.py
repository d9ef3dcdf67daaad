"""Where a gateway keeps journal, spool and policies on disk: a name for each line and station.

Earlier versions joined the two by a dash, so that line `a-b` with station `c` and line `a` with
station `b-c` had one journal. What they left is found again under its name of then, once.
"""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import structlog

from connectors.errors import JournalBusyError
from connectors.gateway.journal import lock
from connectors.gateway.journal_entries import replay
from connectors.gateway.spool_files import sync_folder
from connectors.settings import GatewaySettings
from streams.names import derived_key, key_of

log = structlog.get_logger(__name__)
_HEAD_BYTES = 1 << 20
"""A spooled message says in its first line whose it is; the picture follows."""
_LONGEST_BYTES = 240
"""No file system held a longer name with its suffix."""


def place_name(line: str, station: str) -> str:
    """What the files of a line's station are called: the two joined by a dash where that is plain
    and means nobody else, otherwise a key that derives from both.

    >>> place_name("L1", "S1"), place_name("a-b", "c"), place_name("a", "b-c")
    ('L1-S1', 'a-b-c--4e84717d75bd540d', 'a-b-c--b88f83c840abe581')
    """
    joined = _joined(line, station)
    if joined.count("-") == 1 and key_of(joined) == joined:
        return joined
    return derived_key(f"{line}/{station}")


def _joined(line: str, station: str) -> str:
    """What earlier versions called the files."""
    return f"{line}-{station}"


def take_former(own: GatewaySettings, policies: Path) -> None:
    """Find what a version before left under its name for this line and station, and rename it.

    It stays where it is when it says that it is of another line and station. Blocks on the disk;
    what was done before is not done again.

    Args:
        own: the line, the station, and where journal and spool are.
        policies: the folder of the copies of the policies in force.

    Raises:
        JournalBusyError: a gateway of the version before holds the journal.
        OSError: the disk.
    """
    before, now = _joined(own.line, own.station), place_name(own.line, own.station)
    if before == now or len(before.encode()) > _LONGEST_BYTES:
        return
    old = own.journal_dir / f"{before}.journal"
    new = own.journal_dir / f"{now}.journal"
    with contextlib.ExitStack() as held:
        try:
            lock(held.enter_context(old.open("rb")), old)
        except FileNotFoundError:
            _take_spool(own, own.spool_dir / before, own.spool_dir / now)
        except JournalBusyError:
            if new.exists():
                return  # it has its own, and what is held is another's
            raise JournalBusyError(
                f"{old}: a gateway of an earlier version holds it, for this line and station or "
                f"for others that join to {before} as well; start that one in this version first"
            ) from None
        else:
            _take_spool(own, own.spool_dir / before, own.spool_dir / now)
            if not new.exists():
                _take_journal(own, old, new, policies)


def _take_journal(own: GatewaySettings, old: Path, new: Path, policies: Path) -> None:
    others = _told_of(old.read_bytes()) - {f"{own.line}/{own.station}"}
    if others:
        log.warning("gateway.former_journal_is_another_s", path=str(old), of=sorted(others))
        return
    beside = {policies / old.stem: policies / new.stem}
    beside[old.with_suffix(".owner")] = new.with_suffix(".owner")
    for former, name in beside.items():
        if former.exists() and not name.exists():
            former.rename(name)
    old.rename(new)  # last: it says that all is done
    sync_folder(own.journal_dir)
    log.info("gateway.former_journal_taken", path=str(old), now=str(new))


def _told_of(journal: bytes) -> set[str]:
    """The lines and stations that open parts of a journal name in their events."""
    found = set()
    for entry in replay(journal)[0].entries.values():
        for text in filter(None, (entry.decision, entry.acknowledgement)):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                event = json.loads(text)
                found.add(f"{event['line']}/{event['station']}")
    return found


def _take_spool(own: GatewaySettings, before: Path, now: Path) -> None:
    """Move the messages, but for those of another line and station with the same name of then."""
    mine, taken = f"{own.line}/{own.station}", 0
    for lane in ("", "words", "large"):
        keys = {path: _key_in(path) for path in _messages(before / lane)}
        of_others = {k for k in keys.values() if k != mine and k.replace("/", "-") == before.name}
        moved = [path for path, key in keys.items() if key not in of_others]
        if moved:
            target = now / lane
            target.mkdir(parents=True, exist_ok=True)
            for path in moved:
                path.rename(_free(target, int(path.stem)))
            sync_folder(target)
            taken += len(moved)
    if before.is_dir():
        for folder in (before / "words", before / "large", before):
            with contextlib.suppress(OSError):  # not empty, or not there
                folder.rmdir()
    if taken:
        log.info("gateway.former_spool_taken", path=str(before), now=str(now), messages=taken)


def _messages(folder: Path) -> Iterator[Path]:
    """The spooled messages of a folder, oldest first."""
    return (p for p in sorted(folder.glob("*.msg")) if p.stem.isdecimal() and p.is_file())


def _free(folder: Path, number: int) -> Path:
    """The file of this number, or of the next that no message has."""
    while (path := folder / f"{number:020d}.msg").exists():
        number += 1
    return path


def _key_in(path: Path) -> str:
    """The key of a spooled message; empty where it cannot be read."""
    with path.open("rb") as file:
        line = file.readline(_HEAD_BYTES)
    if not line.startswith(b"{"):
        line = line.partition(b" ")[2]
    try:
        return base64.b64decode(json.loads(line)["key"]).decode()
    except (ValueError, KeyError, TypeError):
        return ""
