"""Many gateways in one process, each as ``andon gateway`` composes it.

    python -m lab.harness.gateways_host '{"line1": "opc.tcp://127.0.0.1:14840", ...}'

What else they need is in the settings of the environment. A plant runs each in a process of its
own, beside its line; here they share one so that some dozens fit into the memory of one machine.
"""

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial

from andon.event_loop import adopt_event_loop
from andon.log import configure_logging
from andon.processes.gateway import compose
from andon.processes.heap import settle_heap
from andon.sd_notify import notify_ready
from andon.settings import Settings, load_settings
from andon.wiring import edge
from connectors.gateway.core import Gateway
from connectors.gateway.ownership import OwnedLink
from streams.log import quieten

FOLLOWING_S = 300.0
"""Until every gateway follows Kafka, seconds: on a busy machine dozens of them take long."""


def settings_of(common: Settings, line: str, url: str) -> Settings:
    """A gateway's settings: those of the environment, with a line, a controller and a disk of its
    own."""
    own = common.gateway
    folders = {"journal_dir": own.journal_dir / line, "spool_dir": own.spool_dir / line}
    gateway = own.model_copy(update={"line": line, "plc_url": url, **folders})
    paths = common.paths.model_copy(update={"state": common.paths.state / line})
    return common.model_copy(update={"gateway": gateway, "paths": paths})


async def serve(urls: dict[str, str]) -> None:
    """Run a gateway for each line until SIGTERM."""
    quieten()
    stop, common = asyncio.Event(), load_settings()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        gateways: list[Gateway] = []
        following: list[asyncio.Event] = []
        for line, url in urls.items():
            settings = settings_of(common, line, url)
            link = edge.line_link(settings)
            gateway, caught_up, _ = await compose(
                settings, stack, link, partial(_in_charge, link), partial(_number, link)
            )
            gateways.append(gateway)
            following.append(caught_up)
        tasks = [asyncio.create_task(gateway.run()) for gateway in gateways]
        try:
            async with asyncio.timeout(FOLLOWING_S):
                for one in following:
                    await one.wait()
            settle_heap()
            notify_ready()
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _in_charge(link: OwnedLink) -> bool:
    return link.in_charge


def _number(link: OwnedLink) -> int:
    return link.number


if __name__ == "__main__":
    configure_logging()
    adopt_event_loop()
    asyncio.run(serve(json.loads(sys.argv[1])))
