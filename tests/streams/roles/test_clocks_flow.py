"""Workers whose clocks are off, over a real broker: the parts' fates stay what they were."""

import time
from pathlib import Path
from typing import Any

import pytest

from infra.stack.broker import Broker
from streams.codes import DecisionSource
from streams.events import Decision
from streams.roles.classify import ClassifyRole
from streams.roles.clocks import GatewayClocks
from streams.roles.inspect import InspectRole
from streams.roles.results import Results
from streams.topics import ANOMALIES, DECISIONS, FRAMES
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import ODD, frame
from tests.streams.roles.line import config, producer, reading, running, send_frame
from tests.waiting import until

WINDOW_MS = 8000
STEPS = (3600.0, -3600.0, 9.0, 0.0)
"""By how much the worker's clock is ahead, one after the other, seconds."""


class HostClock:
    """The wall clock of a worker's host, which is set while the worker runs."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        self.clocks = GatewayClocks()

    def __call__(self) -> float:
        return time.time() + self.ahead_s

    def of(self, role: type[Any], port: object) -> Any:
        """Makes the role on this host."""

        def make(results: Results) -> Any:
            self.clocks = results.clocks = GatewayClocks(wall=self)
            return role(port, TwinPolicies(), results)

        return make


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["inspect", "classify"])
async def test_no_parts_fate_changes_with_a_workers_clock(
    fresh_broker: Broker, tmp_path: Path, victim: str
) -> None:
    servers = fresh_broker.bootstrap_servers
    off = HostClock(STEPS[0])
    hosts = {"inspect": HostClock(0.0), "classify": HostClock(0.0)} | {victim: off}
    source = DecisionSource.EXPERT if victim == "inspect" else DecisionSource.CLASSIFIER
    image = b"good" if victim == "inspect" else ODD
    async with (
        reading(servers, DECISIONS) as seen,
        producer(servers) as send_to,
        running(
            config("inspect", servers, tmp_path),
            [FRAMES],
            hosts["inspect"].of(InspectRole, TwinExpert()),
        ),
        running(
            config("classify", servers, tmp_path),
            [ANOMALIES],
            hosts["classify"].of(ClassifyRole, TwinClassifier()),
        ),
    ):
        await until(lambda: any(ends for _, ends in off.clocks._asked), 10, "where the log ends")
        for number, ahead_s in enumerate(STEPS, 1):
            off.ahead_s = ahead_s
            part = frame(image, WINDOW_MS, trigger_seq=number)
            await send_frame(send_to, part, image)
            await until(lambda number=number: len(seen.of(DECISIONS)) == number, 20)  # type: ignore[misc]
            decision = seen.of(DECISIONS)[-1]
            assert isinstance(decision, Decision)
            assert (decision.source, decision.is_late) == (source, False), decision.reason
            assert part.captured_at <= decision.decided_at <= part.deadline
            assert decision.clock_ahead_s == pytest.approx(ahead_s, abs=3.0)
