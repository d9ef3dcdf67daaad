"""The rows of the fault matrix: what is done to the running line, and what is left of it after."""

import asyncio
import errno
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.stack.process import ProcessError
from lab.benchmarks.faults import (
    BROKER,
    REPLICA,
    ROLE_FAULTS,
    STORES,
    kill,
    pause,
)
from lab.harness.line import ROLES, SimulatedLine
from lab.harness.poison import send_poison

ROUND_S = 4.0
"""How long a disk or a clock is at fault, or a process stopped, where nobody says; seconds."""
Inject = Callable[[SimulatedLine], float | None]
"""Does it and returns once it is over; seconds until the victim worked again, where known."""


@dataclass(frozen=True)
class FaultRow:
    """One row: of which group, what it does in words, and how."""

    group: str
    what: str
    inject: Inject
    needs_disk_broker: bool = False
    """Only a broker that keeps its data can be killed."""


def _killed(name: str) -> FaultRow:
    return FaultRow("kill", f"kill -9 of {name}", lambda line: kill(line, name), name == BROKER)


def _paused(name: str, lasting_s: float) -> FaultRow:
    def stopped(line: SimulatedLine) -> None:
        pause(line, name, lasting_s)

    return FaultRow("pause", f"{name} stopped for {lasting_s:g} s", stopped)


def _told(line: SimulatedLine, role: str, said: Mapping[str, object] | None) -> None:
    path = line.host_file(role)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(said or {}))
    draft.replace(path)


def _restarted(line: SimulatedLine, role: str) -> None:
    """End a process as a supervisor does and start it again; the gateway is ready with its disk."""
    line.roles[role].stop()
    line.roles[role].start()


def _disk(role: str, code: int, restart: bool, lasting_s: float) -> FaultRow:
    name = errno.errorcode[code]

    def failing(line: SimulatedLine) -> float | None:
        state = str(line.folder / "state")
        _told(line, role, {"errno": code, "folder": state})
        time.sleep(lasting_s)
        if restart:
            _restarted(line, role)
            time.sleep(ROUND_S)
        begun = time.monotonic()
        _told(line, role, None)
        if restart:
            line.roles[role].wait_ready(60)
            return time.monotonic() - begun
        return None

    again = ", restarted meanwhile" if restart else ""
    what = f"{name} for {lasting_s:g} s on journal, spool and caches of {role}{again}"
    return FaultRow("disk", what, failing)


def _clock(role: str, ahead_s: float, restart: bool, lasting_s: float) -> FaultRow:
    def shifted(line: SimulatedLine) -> float | None:
        _told(line, role, {"ahead_s": ahead_s})
        if restart:
            begun = time.monotonic()
            _restarted(line, role)
            line.roles[role].wait_ready(60)
            back: float | None = time.monotonic() - begun
        else:
            back = None
        time.sleep(lasting_s)
        _told(line, role, None)
        return back

    again = " over a restart" if restart else ""
    return FaultRow("clock", f"wall clock of {role} {ahead_s:+g} s{again}, then back", shifted)


def _poisoned(line: SimulatedLine) -> None:
    from andon.wiring import brokers

    taken = asyncio.run(send_poison(brokers.kafka_connection(line.stack.settings())))
    if not taken:
        raise ProcessError("the broker took none of the broken messages")


_RESTART = (("", False), ("-restart", True))
_HOUR_S = 3600.0
_CLOCKS = (
    *((role, hour) for role in (*ROLES, "gateway") for hour in (_HOUR_S, -_HOUR_S)),
    ("gateway", 1.0),
    ("inspect", 0.9),
)


def rows(lasting_s: float = ROUND_S) -> dict[str, FaultRow]:
    """Every row by its name; a disk or clock is at fault, or a process stopped, so long."""
    return {
        **{f"kill-{name}": _killed(name) for name in (*ROLE_FAULTS, REPLICA, *STORES, BROKER)},
        **{f"pause-{name}": _paused(name, lasting_s) for name in (*ROLE_FAULTS, *STORES, BROKER)},
        **{
            f"disk-{errno.errorcode[code].lower()}{suffix}": _disk(
                "gateway", code, restart, lasting_s
            )
            for code in (errno.ENOSPC, errno.EIO, errno.EROFS)
            for suffix, restart in _RESTART
        },
        "disk-worker-enospc": _disk("inspect", errno.ENOSPC, False, lasting_s),
        **{
            f"clock-{role}{ahead:+g}s{suffix}": _clock(role, ahead, restart, lasting_s)
            for role, ahead in _CLOCKS
            for suffix, restart in _RESTART
        },
        "poison": FaultRow("poison", "broken messages on every topic", _poisoned),
    }


SMOKE = ("kill-inspect", "kill-gateway", "disk-enospc-restart", "disk-eio", "poison")
"""The rows that CI plays."""
