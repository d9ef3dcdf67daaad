"""A console for tests: real pages over twins, with anyone logged in."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from console.access import ConsoleRole
from console.app import build_app
from console.credentials import secret_hash
from console.feed.live_feed import LiveFeed
from console.feed.positions import Partition, Positions
from console.feed.status_feed import StatusFeed
from console.health import CheckRow, HealthDesk
from console.parts import ConsoleParts
from console.second_person import SecondPerson
from history.accounts import Accounts, ConsoleUser, Login
from history.console_audit import Deed
from history.plant_times import PlantTimes
from streams.kafka.delivery import Delivery
from tests.contracts.twins.image_store import InMemoryImageStore

BASE = "http://localhost"
DEED = Deed(actor="test", action="test")


class GivenRecords:
    """What a test gives to the live feed, as Kafka would; fresh until it says otherwise."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.began: dict[Partition, int] = {}
        self.kept: list[Delivery] = []
        """What Kafka still has, in the order of its times."""
        self._given: asyncio.Queue[list[Delivery]] = asyncio.Queue()

    def give(self, *records: Delivery) -> None:
        self.kept += records
        self._given.put_nowait(list(records))

    async def follow(self) -> AsyncGenerator[list[Delivery], None]:
        while True:
            yield await self._given.get()

    async def between(
        self, begins: Positions, ends: Positions
    ) -> AsyncGenerator[list[Delivery], None]:
        for record in self.kept:
            at = record.topic, record.partition
            if begins.get(at, 0) <= record.offset < ends.get(at, 0):
                yield [record]


class EveryRole:
    """Secrets named after roles: each opens what its role may."""

    def __init__(self) -> None:
        self.must_change = False
        self.error: Exception | None = None
        self.ended: set[str] = set()

    async def login(self, secret: str) -> Login | None:
        if self.error is not None:
            raise self.error
        by_hash = {secret_hash(role.value): role for role in ConsoleRole}
        if secret not in by_hash or secret in self.ended:
            return None
        role = by_hash[secret]
        ends = datetime.now(UTC) + timedelta(hours=1)
        return Login(
            secret_hash=secret,
            user_name=f"a {role.value}",
            role=role.value,
            must_change=self.must_change,
            expires_at=ends,
        )

    async def close(self) -> None: ...


class Nothing:
    """An adapter that no test of this kind asks."""

    async def close(self) -> None: ...
    async def stop(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody should ask for {name}")


async def nothing_to_find() -> list[CheckRow]:
    """A doctor that finds nothing."""
    return []


class NoPolicies(Nothing):
    """Policies of a console that is asked for other things."""

    second_person = SecondPerson.NEVER
    backtests = Nothing()
    differences = Nothing()

    async def run(self) -> None: ...


def parts_of(**given: Any) -> ConsoleParts:
    """The parts with what a test brings; the rest is twins, or must not be asked."""
    plant = PlantTimes()
    defaults: dict[str, Any] = {
        "history": Nothing(),
        "store": InMemoryImageStore(),
        "accounts": EveryRole(),
        "audit": Nothing(),
        "handovers": Nothing(),
        "leases": Nothing(),
        "plant": plant,
        "feed": LiveFeed(GivenRecords(), plant.shift_at),
        "status": StatusFeed(GivenRecords()),
        "drafts": Nothing(),
        "publisher": Nothing(),
        "lessons": Nothing(),
        "health": HealthDesk(nothing_to_find),
        "policies": NoPolicies(),
        "models": Nothing(),
    }
    return ConsoleParts(**{**defaults, **given})


def app_of(history: object = None, store: object = None, hosts: tuple[str, ...] = ()) -> FastAPI:
    """The application over a history and a store."""
    given = {"history": history, "store": store}
    return build_app(parts_of(**{k: v for k, v in given.items() if v is not None}), hosts)


def client_of(app: FastAPI, role: str | None = "admin", **options: Any) -> httpx.AsyncClient:
    """A program with the token of a role."""
    headers = options.pop("headers", {})
    if role:
        headers = {**headers, "Authorization": f"Bearer {role}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url=options.pop("base", BASE), headers=headers, **options
    )


async def new_token(url: str, role: ConsoleRole = ConsoleRole.ENGINEER, secret: str = "t") -> str:
    """A token that opens the console over a database."""
    accounts = Accounts(url, timeout_s=10.0)
    ends = datetime.now(UTC) + timedelta(hours=1)
    name = f"who-gives-{role.value}"
    await accounts.add(ConsoleUser(name=name, role=role.value), "nothing", DEED)
    login = Login(
        secret_hash=secret_hash(secret),
        user_name=name,
        label="a test",
        role=role,
        way="token",
        expires_at=ends,
    )
    await accounts.open(login, DEED)
    await accounts.close()
    return secret
