"""Which processes ``andon stack up`` left running: remembered by pid and start time."""

import contextlib
import json
import shutil
import signal
from pathlib import Path

import psutil

from andon.stack.local import LocalStack
from infra.stack.process import descendants, end_all

FILE = "running.json"
STOP_S = 15.0


def remember(folder: Path, stack: LocalStack) -> None:
    """Write the pids down."""
    entries = {}
    for name, server in stack.components.items():
        temporary = server.temporary_folder
        entries[name] = {
            "pid": server.pid,
            "created": psutil.Process(server.pid).create_time(),
            "stop_signal": int(server.stop_signal),
            "temp_dir": str(temporary) if temporary else None,
        }
    (folder / FILE).write_text(json.dumps(entries))


def known(folder: Path) -> list[str]:
    """Components that ``up`` started, whether they still run or not."""
    return list(_read(folder))


def running(folder: Path) -> dict[str, psutil.Process]:
    """Those that still run; a pid that another process has by now does not count."""
    alive = {}
    for name, entry in _read(folder).items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(str(entry["pid"])))
            if abs(process.create_time() - float(str(entry["created"]))) < 1 and (
                process.status() != psutil.STATUS_ZOMBIE
            ):
                alive[name] = process
    return alive


def end(folder: Path) -> list[str]:
    """Stop what runs, children included, and forget it; the names of what was stopped."""
    entries, alive = _read(folder), running(folder)
    for name in ("ray", "s3", "postgres", "broker"):
        process = alive.get(name)
        if process is not None:
            family = descendants(process.pid)
            process.send_signal(int(str(entries[name].get("stop_signal", signal.SIGTERM))))
            psutil.wait_procs([process], timeout=STOP_S)
            end_all([process, *family])
    for entry in entries.values():
        if entry.get("temp_dir"):
            shutil.rmtree(str(entry["temp_dir"]), ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)
    return list(alive)


def _read(folder: Path) -> dict[str, dict[str, object]]:
    try:
        entries: dict[str, dict[str, object]] = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return entries
