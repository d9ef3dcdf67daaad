"""Health of the line: what ``andon doctor`` finds, and what each process says of itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from console.feed.status_feed import HeardProcess, StatusFeed
from console.health import CheckRow, Examination
from console.parts import ConsoleParts
from console.rendering import Renderer, words_of
from console.texts import Translate
from streams.codes import FaultCode
from streams.status import CHECK_OF, LinePhase

_WORKS = frozenset({LinePhase.READY, LinePhase.EXPOSING, LinePhase.STANDBY})


class HealthReport(BaseModel):
    """What the checks found, and what every process says of itself."""

    is_running: bool
    """Whether the checks run now; what is told is of the time before."""
    examination: Examination
    processes: tuple[CheckRow, ...]
    """Gateways and workers, as they said themselves on Kafka."""


@dataclass(frozen=True)
class HealthRow:
    """One row of the page."""

    found: CheckRow
    kind: str
    """``fine``, ``warns`` or ``fails``."""
    means: str
    """What it means for the parts, and what to do, in the visitor's language."""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    desk = parts.health

    @app.get("/health", include_in_schema=False)
    async def health(request: Request, again: bool = False) -> Response:
        """What was found; asked anew in the background where that is too old."""
        desk.ask(again)
        t = words_of(request)
        checks = [_row(found, t) for found in (desk.last.rows if desk.last else ())]
        own = [_row(found, t) for found in processes(parts.status, t)]
        return renderer.page(
            request,
            "health.html",
            checks=checks,
            processes=own,
            last=desk.last,
            age_s=desk.age_s,
            is_running=desk.is_running,
            failing=sum(row.kind == "fails" for row in (*checks, *own)),
        )

    @app.get("/api/doctor")
    async def doctor(request: Request, again: bool = False) -> HealthReport:
        """What `andon doctor` finds; at most a minute old, or with `again` ten seconds.

        The answer waits for the checks where they must run, up to a minute.
        """
        examination = await desk.asked(again)
        return HealthReport(
            is_running=desk.is_running,
            examination=examination,
            processes=tuple(processes(parts.status, words_of(request))),
        )


def _row(found: CheckRow, t: Translate) -> HealthRow:
    kind = "fails" if not found.ok else "warns" if found.warns else "fine"
    name = found.name.partition(" ")[0]
    return HealthRow(found, kind, "" if kind == "fine" or name not in _TOLD else t(f"check.{name}"))


_TOLD = frozenset(
    {
        "kafka", "postgres", "s3", "ray", "serve", "llm", "policies", "workers", "state", "plc",
        "gateway", "camera", "certificates", "exposure", "product", "worker",
    }
)  # fmt: skip


def processes(status: StatusFeed, t: Translate) -> Iterator[CheckRow]:
    """What each process says of itself, as rows of checks; those of the past are left out."""
    now_s = status.now_s
    for heard in status.processes():
        if not heard.is_gone(now_s) and not heard.status.is_ended:
            yield _process(heard, now_s, t)


def _process(heard: HeardProcess, now_s: float, t: Translate) -> CheckRow:
    said, gateway, worker = heard.status, heard.status.gateway, heard.status.worker
    where = f"{gateway.line}/{gateway.station}" if gateway else said.role
    name = f"gateway {where}" if gateway else f"worker {where}"
    if heard.is_silent(now_s):
        detail = t("health.silent", host=said.host, seconds=round(heard.age_s(now_s)))
        return CheckRow(name=name, ok=False, detail=detail)
    if gateway is not None:
        faults = ", ".join(f"FaultCode {f.code.value} {f.code.name}" for f in gateway.faults)
        detail = "; ".join(filter(None, (t(f"phase.{gateway.phase.value}"), faults)))
        is_fine = gateway.phase in _WORKS
        warns = is_fine and gateway.fault_code is not FaultCode.NONE
        remedy = t(f"remedy.f{gateway.fault_code.value}") if gateway.faults else ""
        return CheckRow(name=name, ok=is_fine, detail=detail, remedy=remedy, warns=warns)
    away = ", ".join(worker.away) if worker else ""
    is_ready = worker is not None and worker.is_ready
    state = t("line.away", what=away) if away else t("line.at_work" if is_ready else "line.joining")
    detail = f"{said.host}: {state}"
    asked = worker.away if worker else ()
    checks = sorted({CHECK_OF[what] for what in asked if what in CHECK_OF})
    remedy = t("health.ask", checks=" ".join(checks)) if checks else ""
    return CheckRow(name=name, ok=not away, detail=detail, remedy=remedy, warns=not is_ready)
