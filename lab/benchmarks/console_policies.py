"""The policy editor over a real history: problems and offers at every key, a long back-test."""

import asyncio
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg

from andon.settings import Settings
from history.facts import FACTS
from history.migrate import upgrade
from infra.stack.postgres_local import start_postgres
from infra.stack.process import free_port
from lab.benchmarks.history_fill import enough_disk, fill_history
from lab.harness.console_here import ConsoleProcess, let_in
from lab.progress import Say
from streams.errors import AndonError

Figures = dict[str, float | int | str]
PRODUCT: Final = "product-1"
_TYPED: Final = "  - {name: bench, when: class == 'crack' && confidence < 0.95, action: rework}\n"
_LONGEST_S: Final = 280.0
_ASKED_EVERY_S: Final = 0.1


def policy_text() -> str:
    """A policy of the made-up product, as long as a plant's: each class with texts and rules."""
    lines = [f"policy: 1\nproduct: {PRODUCT}\nstrategy: Look at the shape first.\nclasses:"]
    for name in ("crack", "pit", "scratch", "stain", "dent"):
        lines.append(f"  {name}:\n    severity: defect\n    action: scrap")
        lines.append(f"    description: What a {name} looks like, in a sentence or two.")
    lines.append("zones:\n  - {name: rim, polygon: [[0, 0], [1, 0], [1, 0.1], [0, 0.1]]}\nrules:")
    for number, name in enumerate(("crack", "pit", "scratch", "stain", "dent") * 3):
        when = f"class == '{name}' && area_px > {9000 + number} && zone == 'rim'"
        lines.append(f'  - {{name: r{number}, when: "{when}", action: hold}}')
    return "\n".join(lines) + "\n"


async def benchmark_policies(parts: int, keys: int, folder: Path, say: Say) -> Figures:
    """Fill a database with parts of one product, put the console over it, type and back-test.

    Args:
        parts: decisions that are back-tested.
        keys: keys that are typed; each asks for problems and for offers.
        folder: where the database is made.
        say: told how far it is.

    Raises:
        AndonError: too little disk, or a component did not come up, or a question is refused.
    """
    enough_disk(parts, folder)
    with start_postgres(folder / "postgres") as server:
        await upgrade(server.url)
        plain = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        await fill_history(plain, parts, say)
        await _of_one_product(plain)
        await plain.close()
        environment = {
            "ANDON_POSTGRES__URL": server.url,
            "ANDON_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",  # nobody is there
            "ANDON_PATHS__STATE": str(folder / "state"),
        }
        console = ConsoleProcess(folder, environment)
        settings = Settings.model_validate({"postgres": {"url": server.url}})
        try:
            _, token = await let_in(settings)
            await asyncio.to_thread(console.start)
            headers = {"Authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(console.base, headers=headers) as client:
                asked = _Asked(client)
                return {**await _type(asked, keys), **await _backtest(asked, say)}
        finally:
            await asyncio.to_thread(console.stop)


async def _of_one_product(plain: asyncpg.Connection) -> None:
    """Every part is one of the product that is back-tested."""
    async with plain.transaction():
        await plain.execute("SET LOCAL session_replication_role = replica")
        for table in ("decision", FACTS.name):
            await plain.execute(f"UPDATE {table} SET product_id = $1", PRODUCT)  # noqa: S608
    await plain.execute("VACUUM ANALYZE")


class _Asked:
    """Questions to the console, each with the time that its answer took."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def post(
        self, path: str, body: Mapping[str, object]
    ) -> tuple[float, Mapping[str, object]]:
        begun = time.perf_counter()
        async with self._client.post(path, json=body) as answer:
            found: Mapping[str, object] = await answer.json()
        if answer.status >= 400:
            raise AndonError(f"{path}: {answer.status} {str(found)[:300]}")
        return time.perf_counter() - begun, found

    async def get(self, path: str) -> tuple[float, Mapping[str, object]]:
        begun = time.perf_counter()
        async with self._client.get(path) as answer:
            found: Mapping[str, object] = await answer.json()
        return time.perf_counter() - begun, found


async def _type(asked: _Asked, keys: int) -> Figures:
    """Somebody types a rule, key by key, over and over."""
    text, checks, offers = policy_text(), list[float](), list[float]()
    for number in range(keys):
        typed = text + _TYPED[: 1 + number % len(_TYPED)]
        checks.append((await asked.post("/api/policies/check", {"text": typed}))[0])
        cursor = {"text": typed, "offset": len(typed)}
        offers.append((await asked.post("/api/policies/complete", cursor))[0])
    return {
        "keys": keys,
        "first_check_ms": round(1000 * checks[0], 1),
        "check_p50_ms": round(1000 * statistics.median(checks), 1),
        "check_p95_ms": round(1000 * statistics.quantiles(checks, n=20)[-1], 1),
        "offers_p95_ms": round(1000 * statistics.quantiles(offers, n=20)[-1], 1),
    }


async def _backtest(asked: _Asked, say: Say) -> Figures:
    path, body = f"/api/policies/{PRODUCT}/backtests", {"text": policy_text(), "days": 3650}
    begun, meanwhile = time.perf_counter(), list[float]()
    _, started = await asked.post(path, body)
    while True:
        took, status = await asked.get(f"{path}/{started['id']}")
        meanwhile.append(took)
        if status["state"] != "running":
            break
        if time.perf_counter() - begun > _LONGEST_S:
            raise AndonError(f"the back-test does not end: {status}")
        await asyncio.sleep(_ASKED_EVERY_S)
    seconds, result = time.perf_counter() - begun, status["result"]
    if not isinstance(result, Mapping):
        raise AndonError(f"the back-test failed: {status['problem']}")
    say(f"{result['decisions']} decisions in {seconds:.1f} s")
    _, second = await asked.post(path, body)
    ended, cancelled = await asked.post(f"{path}/{second['id']}/cancel", {})
    return {
        "backtested": int(result["decisions"]),
        "would_change": int(result["total_changed"]),
        "backtest_s": round(seconds, 2),
        "answers_meanwhile_p95_ms": round(1000 * statistics.quantiles(meanwhile, n=20)[-1], 1),
        "cancelled": str(cancelled["state"]),
        "cancel_ms": round(1000 * ended, 1),
    }
