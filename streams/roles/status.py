"""How a worker is, for people who watch the line: read from what it counts anyway."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from prometheus_client.samples import Sample

from streams.log import Log
from streams.roles import metrics
from streams.roles.runner import RoleRunner
from streams.status import ProcessStatus, WorkerState

_MOST: Final = 64
"""Names of each kind that are told, at most."""
_TOLD: Final = [
    row.exposed
    for row in (
        *(metrics.EVENTS, metrics.DECIDED, metrics.LETTERS),
        *(metrics.SKEW, metrics.HELD, metrics.HELD_BYTES),
    )
]


class WorkerWatch:
    """Looks at a running role.

    Args:
        instance: the worker's name among those of its role on this host.
        version: of Andon.
        log: takes the role's lines; what is away is told from them.
    """

    def __init__(self, instance: str, version: str, log: Log) -> None:
        self._instance, self._version, self._log = instance, version, log
        self._started_at = datetime.now(UTC)
        self._away: dict[str, None] = {}
        self._events = 0
        self._last_event_at: datetime | None = None

    def log(self, event: str, **fields: object) -> object:
        """A line of the role's log."""
        what = str(fields.get("what", ""))[:512]
        if event in ("away", "still away") and len(self._away) < _MOST:
            self._away[what] = None
        elif event == "back":
            self._away.pop(what, None)
        return self._log(event, **fields)

    def look(self, runner: RoleRunner, host: str) -> ProcessStatus:
        """How the worker is now."""
        now, config = datetime.now(UTC), runner.config
        samples = list(_samples(runner))
        events = round(_total(samples, metrics.EVENTS.exposed))
        if events > self._events:
            self._events, self._last_event_at = events, now
        ahead = [s for s in samples if s.name == metrics.SKEW.exposed]
        return ProcessStatus(
            role=config.role,
            instance=f"{host}/{self._instance}",
            host=host,
            version=self._version,
            started_at=self._started_at,
            at=now,
            number=1,
            every_s=config.status_every_s or 1.0,
            policies=dict(runner.telemetry.policies()),
            worker=WorkerState(
                is_ready=runner.is_ready,
                lag=_by_topic(runner.lag),
                in_flight=round(_total(samples, metrics.HELD.exposed)),
                in_flight_bytes=round(_total(samples, metrics.HELD_BYTES.exposed)),
                events=events,
                decisions=round(_total(samples, metrics.DECIDED.exposed)),
                dead_letters=round(_total(samples, metrics.LETTERS.exposed)),
                last_event_at=self._last_event_at,
                away=tuple(self._away),
                clock_ahead_s={s.labels["station"]: s.value for s in ahead[:_MOST]},
                models=dict(list(runner.telemetry.models.items())[-1024:]),
            ),
        )


def _by_topic(lag: Mapping[tuple[str, int], int]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (topic, _), messages in lag.items():
        found[topic] += messages
    return dict(found)


def _samples(runner: RoleRunner) -> Iterator[Sample]:
    for metric in runner.telemetry.registry.restricted_registry(_TOLD).collect():
        yield from metric.samples


def _total(samples: list[Sample], name: str) -> float:
    return sum(sample.value for sample in samples if sample.name == name)
