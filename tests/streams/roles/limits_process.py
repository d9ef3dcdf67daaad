"""A limits worker in a process of its own: to be killed by its test.

``python -m tests.streams.roles.limits_process SERVERS STATE KILL_AT``: with KILL_AT > 0 it kills
itself after that many parts are in the changelog and before the last of them is acknowledged.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from streams.kafka.changelog import KafkaChangelog
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.faust_app import BusConfig
from streams.roles.config import FlowConfig, LimitsConfig, RoleConfig
from streams.roles.limits import COUNTED_FROM, LimitsRole
from streams.roles.results import Results
from streams.roles.runner import MakeRole, RoleRunner
from streams.topics import PARTS
from tests.streams.roles.limits_policy import one_policy
from tests.streams.roles.line import opened, run_until_terminated


class KilledRole(LimitsRole):
    """Dies once ``kill_at`` parts are counted."""

    kill_at = 0
    counted = 0

    async def handle(self, delivery: Delivery) -> None:
        await super().handle(delivery)
        self.counted += delivery.topic == PARTS.name
        if self.kill_at and self.counted >= self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def limits_config(servers: str, state: Path, instance: str = "0") -> RoleConfig:
    return RoleConfig("limits", BusConfig(KafkaConnection(servers), state, instance), FlowConfig())


def limits_role(servers: str, kill_at: int = 0) -> MakeRole:
    """Opens a role over the tile policy and the broker's changelog."""
    log = lambda *a, **k: None  # noqa: E731

    def make(results: Results) -> LimitsRole:
        changelog = KafkaChangelog(KafkaConnection(servers), log)
        role = KilledRole(
            one_policy(),
            changelog,
            results,
            LimitsConfig(stop_within_s=600.0),
        )
        role.kill_at = kill_at
        return role

    return opened(make)


async def main(servers: str, state: Path, kill_at: int) -> None:
    config, make = limits_config(servers, state), limits_role(servers, kill_at)
    await run_until_terminated(RoleRunner(config, COUNTED_FROM, make, lambda *a, **k: None))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
