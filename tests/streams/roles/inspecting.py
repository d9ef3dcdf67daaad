"""The inspect role over twins, and what it sent."""

from collections.abc import Callable
from typing import Any

from streams.events import Anomaly, DeadLetter, Decision
from streams.roles.inspect import InspectRole
from streams.topics import ANOMALIES, DEAD, DECISIONS
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.conftest import Bench

MakeBench = Callable[..., Bench]


def role_over(bench: Bench, expert: TwinExpert, **changes: Any) -> InspectRole:
    policies = TwinPolicies(audit_share=changes.pop("audit_share", 0.0))
    return InspectRole(expert, policies, bench.results, **changes)


def decisions(bench: Bench) -> list[Decision]:
    return [e for e, _ in bench.publisher.of(DECISIONS.name) if isinstance(e, Decision)]


def anomalies(bench: Bench) -> list[tuple[Anomaly, bytes]]:
    return [(e, v) for e, v in bench.publisher.of(ANOMALIES.name) if isinstance(e, Anomaly)]


def letters(bench: Bench) -> list[tuple[DeadLetter, bytes]]:
    return [(e, v) for e, v in bench.publisher.of(DEAD.name) if isinstance(e, DeadLetter)]
