"""The console's pages over a plant's month: answers over HTTP, as a browser asks for them."""

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import aiohttp
import asyncpg

from andon.settings import Settings
from history.bi import apply_bi
from history.migrate import upgrade
from history.plant_times import PlantTimes
from infra.stack.postgres_local import start_postgres
from infra.stack.process import free_port
from lab.benchmarks.history_fill import enough_disk, fill_history
from lab.benchmarks.history_parts import captured_at, made_decisions
from lab.harness.console_here import ConsoleProcess, let_in
from lab.progress import Say
from streams.errors import AndonError

Figures = dict[str, float | int | str]
ZONE: Final = "Europe/Berlin"
SHIFTS: Final = {
    "early": {"start": "06:00", "end": "14:00"},
    "late": {"start": "14:00", "end": "22:00"},
    "night": {"start": "22:00", "end": "06:00"},
}


def filters(parts: int) -> list[dict[str, str]]:
    """One of each field of the page's filter, and some together; the whole plant among them."""
    lot, serial = f"L{parts // 4000}", f"S{parts // 2:010}"
    middle, late = captured_at(parts // 2).isoformat(), captured_at(parts * 9 // 10).isoformat()
    one_each: list[dict[str, str]] = [
        {"passed": "any"},
        {},
        {"passed": "true"},
        {"part": serial, "passed": "any"},
        {"line": "line-1"},
        {"station": "station-1"},
        {"product": "product-1"},
        {"lot": lot},
        {"class": "crack"},
        {"action": "hold"},
        {"severity": "defect"},
        {"source": "watchdog", "passed": "any"},
        {"version": f"{parts // 2 // 360_000:064x}"},
        {"policy": f"{parts // 2 // 240_000:064}"},
        {"shift": "night"},
        {"reviewed": "true", "passed": "any"},
        {"since": late},
        {"until": middle},
        {"class": "no such class"},
        {"line": "line-1", "product": "product-1", "class": "pit"},
        {"lot": lot, "class": "crack", "since": middle},
        {"source": "fallback", "line": "line-2", "passed": "any"},
        {"action": "scrap", "reviewed": "false", "until": middle},
    ]
    return [{**fields, "view": "list"} for fields in one_each]


async def benchmark_pages_of_many(parts: int, rounds: int, folder: Path, say: Say) -> Figures:
    """Fill a database with parts, put the console over it, and ask.

    Raises:
        AndonError: too little disk, or a component did not come up.
    """
    enough_disk(parts, folder)
    with start_postgres(folder / "postgres") as server:
        await upgrade(server.url)
        await apply_bi(server.url, PlantTimes(time_zone=ZONE))
        plain = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        await fill_history(plain, parts, say)
        await _store_policies(plain, parts)
        await plain.close()
        environment = {
            "ANDON_POSTGRES__URL": server.url,
            "ANDON_PLANT__TIME_ZONE": ZONE,
            "ANDON_PLANT__SHIFTS": json.dumps(SHIFTS),
            "ANDON_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",  # nobody is there
        }
        console = ConsoleProcess(folder, environment)
        settings = Settings.model_validate({"postgres": {"url": server.url}})
        try:
            _, token = await let_in(settings)
            await asyncio.to_thread(console.start)
            return await _ask(console.base, token, parts, rounds, say)
        finally:
            await asyncio.to_thread(console.stop)


async def _store_policies(plain: asyncpg.Connection, parts: int) -> None:
    """The policies that judged the parts: each draws one in two hundred for audits."""
    hashes = sorted({made_decisions(number)[0].policy_hash for number in range(0, parts, 1000)})
    rows = [(policy_hash, "product-1", '{"audit_share": 0.005}') for policy_hash in hashes]
    added = (
        "INSERT INTO policy_version (policy_hash, product_id, body) VALUES ($1, $2, $3::text::json)"
    )
    await plain.executemany(added, rows)


async def _ask(base: str, token: str, parts: int, rounds: int, say: Say) -> Figures:
    since = captured_at(max(parts - 1_000_000, 0))
    month = {"since": since.isoformat(), "passed": "any"}
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    async with aiohttp.ClientSession(base, headers=headers) as client:

        async def seconds(path: str, fields: dict[str, str]) -> float:
            begun = time.perf_counter()
            async with client.get(f"{path}?{urlencode(fields)}") as answer:
                body = await answer.text()
            took = time.perf_counter() - begun
            if answer.status != 200:
                raise AndonError(f"{path} {fields}: {answer.status} {body[:200]}")
            return took

        await seconds("/history", {})  # the first page compiles its template
        lists = {}
        for fields in filters(parts):
            lists[str(fields)] = [await seconds("/history", fields) for _ in range(rounds)]
        slowest = max(lists, key=lambda fields: statistics.median(lists[fields]))
        took = [one for each in lists.values() for one in each]
        figures: Figures = {
            "parts": parts,
            "filters": len(lists),
            "list_p95_s": round(statistics.quantiles(took, n=20)[-1], 3),
            "slowest_filter": slowest,
            "slowest_filter_s": round(statistics.median(lists[slowest]), 3),
        }
        for by in ("class", "rule", "product"):
            found = [await seconds("/pareto", {**month, "by": by}) for _ in range(rounds)]
            figures[f"statistics_of_a_month_by_{by}_s"] = round(statistics.median(found), 3)
        for by, every in (("line", "day"), ("class", "shift"), ("shift", "week"), ("lot", "day")):
            asked = {**month, "by": by, "every": every}
            found = [await seconds("/rates", asked) for _ in range(rounds)]
            figures[f"rates_of_a_month_by_{by}_s"] = round(statistics.median(found), 3)
        say(str(figures))
        return figures
