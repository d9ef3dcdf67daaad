"""End a run: wait until Kafka and the history hold everything, then the balance."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

from andon.settings import Settings
from lab.harness.balance import Balance, OnKafka, balance_of
from lab.harness.history_reader import read_history
from lab.harness.topics_reader import read_line
from lab.plc.ledger import LedgerEntry

SETTLE_S = 60.0
"""How long the history may take to catch up after the last part."""


async def settle(
    settings: Settings,
    ledger: Sequence[LedgerEntry],
    planned: int | None,
    shared_broker: bool = False,
) -> tuple[OnKafka, Balance]:
    """Read Kafka and the history until they balance with the ledger, or ``SETTLE_S`` is over.

    ``shared_broker``: other runs are on it too; only this ledger's boots are looked at.
    """
    until = time.monotonic() + SETTLE_S
    while True:
        kafka = await read_line(settings.kafka.bootstrap_servers, settings.kafka.security)
        if shared_broker:
            kafka = kafka.of_boots({part.key[0] for part in ledger})
        balance = balance_of(ledger, kafka, await read_history(settings), planned)
        if balance.balanced or time.monotonic() > until:
            return kafka, balance
        await asyncio.sleep(0.5)


def run_seconds(ledger: Path) -> float:
    """First trigger to the last result or default, seconds."""
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    times = [r["at"] for r in rows if r["event"] in ("trigger", "result", "default")]
    return max(times) - min(times) if times else 0.0
