"""The accounts and the audit of the console over the real database."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from console import credentials
from history.accounts import Accounts
from history.console_audit import ConsoleAudit
from history.review_leases import ReviewLeases
from tests.console.policy_bench import Bench, open_bench
from tests.history.conftest import template as template
from tests.history.conftest import url as url
from tests.history.conftest import writer as writer


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least that Argon2 takes: these tests are not about its cost."""
    cheap = credentials.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(credentials, "_HASHER", cheap)


@pytest_asyncio.fixture
async def accounts(url: str) -> AsyncIterator[Accounts]:
    made = Accounts(url, timeout_s=10.0)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def audit(url: str) -> AsyncIterator[ConsoleAudit]:
    made = ConsoleAudit(url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def leases(url: str) -> AsyncIterator[ReviewLeases]:
    made = ReviewLeases(url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def bench(url: str) -> AsyncIterator[Bench]:
    async with open_bench(url) as made:
        yield made
