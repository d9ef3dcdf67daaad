"""Roles over twins: no broker."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from streams.roles.config import FlowConfig
from streams.roles.metrics import RoleMetrics
from streams.roles.outbox import Outbox
from tests.streams.roles.twins import TwinPublisher


@dataclass
class Bench:
    """What a role needs around it, and what it sent."""

    flow: FlowConfig
    publisher: TwinPublisher = field(default_factory=TwinPublisher)
    logged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = RoleMetrics("test")
        self.outbox = Outbox(self.publisher, self.metrics, self.flow, self.log)

    def log(self, event: str, **_: object) -> None:
        self.logged.append(event)

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        found = self.metrics.registry.get_sample_value(name, {"role": "test"} | labels)
        return found or 0.0


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Make a bench; keyword arguments go to ``FlowConfig``."""

    def make(**changes: object) -> Bench:
        defaults: dict[str, object] = {"batch_wait_s": 0.001, "retry_s": 0.01, "late_grace_s": 0.3}
        return Bench(FlowConfig(**(defaults | changes)))  # type: ignore[arg-type]

    return make
