"""A Prometheus beside the demo: which questions of the dashboards have data, and what fired."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypedDict

from andon.reference.dashboard import WRITERS
from infra.stack.prometheus_local import start_prometheus
from lab.harness.line import SimulatedLine

_PATIENCE_S = 60.0
"""Rates need two scrapes, and what the console asks is asked once a second."""


@dataclass(frozen=True)
class PanelQuestion:
    """One query of a picture of a dashboard, as Grafana sends it with every line chosen."""

    panel: str
    expr: str


def questions() -> Iterator[PanelQuestion]:
    """All queries of the dashboards in ``infra/grafana``."""
    for write in WRITERS.values():
        for panel in json.loads(write())["panels"]:
            for target in panel["targets"]:
                yield PanelQuestion(panel["title"], target["expr"].replace("$line", ".*"))


class DashboardFigures(TypedDict):
    """``DashboardsSeen`` as JSON; the questions in words."""

    asked: int
    unanswered: list[str]
    alerts: list[str]


@dataclass(frozen=True)
class DashboardsSeen:
    """What a Prometheus saw of a run."""

    asked: int
    """Questions of the dashboards."""
    unanswered: tuple[PanelQuestion, ...]
    """Those without a value at any time of the run."""
    alerts: tuple[str, ...]
    """Names of the alerts that fired meanwhile."""

    def as_json(self) -> DashboardFigures:
        """For programs."""
        empty = [f"{one.panel}: {one.expr}" for one in self.unanswered]
        return {"asked": self.asked, "unanswered": empty, "alerts": list(self.alerts)}


class DemoWatch:
    """A Prometheus that scrapes every process of a line, from before its first part.

    Args:
        line: its processes run, and have ports for their metrics.
        look: has the console answer something.

    Raises:
        ProcessError: there is no Prometheus here, or it did not come up.
    """

    def __init__(self, line: SimulatedLine, look: Callable[[], None]) -> None:
        self._look = look
        self.since_s = time.time()
        self._prometheus = start_prometheus(line.folder / "prometheus", line.metrics_ports)

    def seen(self) -> DashboardsSeen:
        """Ask every question of the dashboards, those without an answer again for a while."""
        asked = list(questions())
        deadline = time.monotonic() + _PATIENCE_S
        left = self._unanswered(asked)
        while left and time.monotonic() < deadline:
            self._look()
            time.sleep(1.0)  # until the next scrape
            left = self._unanswered(left)
        alerts = self._prometheus.alerts(self.since_s, time.time())
        return DashboardsSeen(len(asked), tuple(left), tuple(alerts))

    def stop(self) -> None:
        """End it; its data stay in the run's folder."""
        self._prometheus.stop()

    def _unanswered(self, asked: list[PanelQuestion]) -> list[PanelQuestion]:
        now = time.time()
        has_data = self._prometheus.has_data
        return [one for one in asked if not has_data(one.expr, self.since_s, now)]
