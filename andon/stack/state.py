"""Which processes ``andon stack up`` left running: remembered by pid and start time, or, where it
was killed before it could do so, told by the log that they write.
"""

import contextlib
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from pydantic import BaseModel, TypeAdapter

from andon.stack.local import LocalStack
from infra.stack.answering import answers
from infra.stack.process import descendants, end_all

FILE = "running.json"
NAMES = ("ray", "s3", "postgres", "broker")
"""The components, in the reverse order of need."""
STOP_S = 15.0


class _Entry(BaseModel):
    pid: int
    created: float
    """Time of the start: the same pid may be another process by now."""
    stop_signal: int
    port: int | None = None
    """Where it listens; None in what an earlier release wrote."""
    temporary_folder: Path | None


_ENTRIES = TypeAdapter(dict[str, _Entry])


def remember(folder: Path, stack: LocalStack) -> None:
    """Write the pids down."""
    entries = {
        name: _Entry(
            pid=server.pid,
            created=psutil.Process(server.pid).create_time(),
            stop_signal=server.stop_signal,
            port=server.port,
            temporary_folder=server.temporary_folder,
        )
        for name, server in stack.components.items()
    }
    (folder / FILE).write_bytes(_ENTRIES.dump_json(entries))


def known(folder: Path) -> list[str]:
    """Components that ``up`` started, whether they still run or not."""
    return list(_read(folder)) or list(_writing_logs(folder))


def running(folder: Path) -> dict[str, psutil.Process]:
    """Those that still run; a pid that another process has by now does not count."""
    alive = _writing_logs(folder)
    for name, entry in _read(folder).items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(entry.pid)
            is_same = abs(process.create_time() - entry.created) < 1
            if is_same and process.status() != psutil.STATUS_ZOMBIE:
                alive[name] = process
    return alive


def silent(folder: Path) -> dict[str, str]:
    """Components that run and do not answer, and why as far as that is known; they are asked side
    by side."""
    entries, alive = _read(folder), running(folder)
    ports = {n: e.port for n, e in entries.items() if n in alive and e.port is not None}
    with ThreadPoolExecutor(len(NAMES)) as threads:
        said = dict(zip(ports, threads.map(answers, ports, ports.values()), strict=True))
    found = {}
    for name, process in alive.items():
        stopped = [f"{p.name()} ({p.pid})" for p in _family(process) if _is_stopped(p)]
        if stopped:
            found[name] = f"stopped by a signal: {', '.join(stopped)}; `kill -CONT` lets it go on"
        elif not said.get(name, True):
            found[name] = f"no word at port {ports[name]}"
    return found


def end(folder: Path) -> list[str]:
    """Stop what runs, children included, and forget it; the names of what was stopped."""
    entries, alive = _read(folder), running(folder)
    for name in NAMES:
        process = alive.get(name)
        if process is not None:
            family = descendants(process.pid)
            in_order = signal.SIGINT if name == "postgres" else signal.SIGTERM
            process.send_signal(entries[name].stop_signal if name in entries else in_order)
            for one in (process, *family):  # what is stopped by a signal takes no other one
                with contextlib.suppress(psutil.Error):
                    one.send_signal(signal.SIGCONT)
            psutil.wait_procs([process], timeout=STOP_S)
            end_all([process, *family])
    for entry in entries.values():
        if entry.temporary_folder is not None:
            shutil.rmtree(entry.temporary_folder, ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)
    return list(alive)


def _writing_logs(folder: Path) -> dict[str, psutil.Process]:
    """The oldest process that writes each component's log (Linux), also one that was removed."""
    logs = {str((folder / "logs" / f"{name}.log").resolve()): name for name in NAMES}
    found: dict[str, psutil.Process] = {}
    for process in sorted(psutil.process_iter(), key=_began):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{process.pid}/fd/1").removesuffix(" (deleted)")
            if target in logs:
                found.setdefault(logs[target], process)
    return found


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *descendants(process.pid)]


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _began(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return float("inf")


def _read(folder: Path) -> dict[str, _Entry]:
    with contextlib.suppress(OSError, ValueError):
        return _ENTRIES.validate_json((folder / FILE).read_bytes())
    return {}
