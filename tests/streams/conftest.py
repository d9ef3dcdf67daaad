"""Roles over twins: no broker."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from streams.codes import Stage
from streams.roles.config import FlowConfig
from streams.roles.results import Results, Telemetry
from tests.contracts.twins.publisher import TwinPublisher


@dataclass
class Bench:
    """What a role needs around it, and what it sent."""

    flow: FlowConfig
    stage: Stage = Stage.INSPECT
    publisher: TwinPublisher = field(default_factory=TwinPublisher)
    logged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.telemetry = Telemetry("test", self.log)
        self.results = Results(self.stage, self.publisher, self.telemetry, self.flow)

    def log(self, event: str, **_: object) -> None:
        self.logged.append(event)

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        found = self.telemetry.registry.get_sample_value(name, {"role": "test"} | labels)
        return found or 0.0


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Make a bench for a role of a stage; keyword arguments go to ``FlowConfig``."""

    def make(stage: Stage = Stage.INSPECT, **changes: object) -> Bench:
        defaults: dict[str, object] = {"batch_wait_s": 0.001, "retry_s": 0.01, "late_grace_s": 0.3}
        return Bench(FlowConfig(**(defaults | changes)), stage)  # type: ignore[arg-type]

    return make
