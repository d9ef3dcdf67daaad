"""A join worker in a process of its own: to be killed by its test.

``python -m tests.streams.roles.join_process SERVERS STATE KILL_AT``: with KILL_AT > 0 it kills
itself once so many verdicts were handled, before the last of them is acknowledged.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.faust_app import BusConfig
from streams.roles.config import FlowConfig, JoinConfig, RoleConfig
from streams.roles.join import JoinRole
from streams.roles.results import Results
from streams.roles.runner import MakeRole, RoleRunner
from streams.roles.verdicts_before import VerdictsBefore
from streams.topics import SHOTS
from tests.contracts.twins.policies import TwinPolicies
from tests.streams.roles.line import opened, run_until_terminated


class KilledRole(JoinRole):
    """Dies once ``kill_at`` verdicts are handled."""

    kill_at = 0
    handled = 0

    async def handle(self, delivery: Delivery) -> None:
        await super().handle(delivery)
        self.handled += 1
        if self.kill_at and self.handled >= self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def join_config(servers: str, state: Path, instance: str = "0") -> RoleConfig:
    return RoleConfig("join", BusConfig(KafkaConnection(servers), state, instance), FlowConfig())


def join_role(servers: str, kill_at: int = 0) -> MakeRole:
    def make(results: Results) -> JoinRole:
        before = VerdictsBefore(KafkaConnection(servers))
        role = KilledRole(TwinPolicies(), results, JoinConfig(), before.parts)
        role.kill_at = kill_at
        return role

    return opened(make)


async def main(servers: str, state: Path, kill_at: int) -> None:
    config, make = join_config(servers, state), join_role(servers, kill_at)
    await run_until_terminated(RoleRunner(config, [SHOTS], make, lambda *a, **k: None))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
