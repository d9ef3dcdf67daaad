"""An inspect worker in a process of its own, over twins: to be killed by its test.

``python -m tests.streams.roles.worker_process SERVERS STATE KILL_AT``: with KILL_AT > 0 it kills
itself after the results of that many frames are at the broker and before any is acknowledged.
"""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from streams.kafka.delivery import Delivery
from streams.roles.inspect import InspectRole
from streams.roles.results import Results
from streams.roles.runner import RoleRunner
from streams.topics import FRAMES
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.roles.line import config, opened, run_until_terminated


class KilledRole(InspectRole):
    """Frames finish out of order; the first one hardly ever."""

    kill_at = 0
    finished = 0

    async def handle(self, delivery: Delivery) -> None:
        slow = delivery.offset % 10 == 0
        await asyncio.sleep(0.5 if slow else random.uniform(0.0, 0.02))
        await super().handle(delivery)
        self.finished += 1
        if self.finished == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(servers: str, state: Path, kill_at: int) -> None:
    settings = config("inspect", servers, state)

    def make(results: Results) -> InspectRole:
        role = KilledRole(TwinExpert(), TwinPolicies(), results)
        role.kill_at = kill_at
        return role

    runner = RoleRunner(settings, [FRAMES], opened(make), lambda *a, **k: None)
    await run_until_terminated(runner)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
