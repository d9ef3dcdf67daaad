"""What the console counts of its own answers: under the route's name, whoever asked for what."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio

from console.app import build_app
from console.metrics import CONSOLE_LABELS, CONSOLE_METRICS, SEES, ConsoleMeter
from streams.errors import UnavailableError
from streams.roles.metrics import LABELS
from tests.console.make import Nothing, client_of, parts_of

Value = Callable[..., float]


class Away(Nothing):
    """A history that is not there."""

    async def show(self, *_: object) -> object:
        raise UnavailableError("the database is away")


@pytest.fixture
def meter() -> ConsoleMeter:
    return ConsoleMeter({SEES: lambda: {("kafka",): 1.0}})


@pytest.fixture
def value(meter: ConsoleMeter) -> Value:
    return lambda name, **labels: meter.registry.get_sample_value(f"andon_{name}", labels) or 0.0


@pytest_asyncio.fixture
async def client(meter: ConsoleMeter) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(parts_of(meter=meter, history=Away()))
    async with client_of(app) as made:
        yield made


@pytest.mark.asyncio
async def test_answers_are_counted_by_route_and_status(
    client: httpx.AsyncClient, value: Value
) -> None:
    for number in range(3):
        path = f"/api/frames/0190a000-0000-7000-8000-00000000000{number}"
        assert (await client.get(path)).status_code == 503
    route = "/api/frames/{frame_id}"
    assert value("console_requests_total", route=route, method="GET", status="503") == 3
    assert value("console_response_seconds_count", route=route) == 3
    assert value("console_open_requests") == 0


@pytest.mark.asyncio
async def test_paths_that_are_none_share_one_name(client: httpx.AsyncClient, value: Value) -> None:
    """Whoever tries paths makes no series; nor does one who asks for another host."""
    for path in ("/.env", "/wp-login.php", "/part/../etc"):
        assert (await client.get(path)).status_code == 404
    assert value("console_requests_total", route="other", method="GET", status="404") == 3
    await client.get("/live", headers={"Host": "evil.example"})
    assert value("console_requests_total", route="other", method="GET", status="421") == 1


def test_what_is_asked_elsewhere_is_told_with_it(value: Value) -> None:
    assert value("console_sees", check="kafka") == 1


def test_no_label_names_a_part_or_a_person() -> None:
    labels = {name for metric in CONSOLE_METRICS for name in metric.all_labels}
    forbidden = {"part_id", "lot_id", "frame_id", "user", "address"}
    assert not labels & forbidden
    assert labels == (LABELS.keys() & labels) | CONSOLE_LABELS.keys()
