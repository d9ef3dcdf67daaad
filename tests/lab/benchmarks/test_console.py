"""The console's benchmark: it looks at every page, and what it counts as wrong is wrong."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from console.access import ACCESS
from console.assets import asset
from console.pages import PAGES
from lab.benchmarks.console import ConsoleBenchmark, benchmark_console
from lab.benchmarks.console_history import filters
from lab.benchmarks.console_live import StreamListener, seen_rows
from lab.benchmarks.console_pages import addresses, gz_bytes
from lab.benchmarks.console_parts import part_of_now
from lab.cli.benchmark_console import ConsoleMore, browser_options, is_fine
from lab.harness.chromium import ChromiumPage, chromium_path
from streams.regions import region_mask

FRAME = UUID(int=7)


def nobody(*_: Any) -> Any:
    raise AssertionError("nobody is asked")


def test_every_page_of_the_bar_and_every_route_of_a_page_is_looked_at() -> None:
    found = list(addresses(FRAME))
    assert {page.link.path for page in PAGES if page.link} <= set(found)
    assert {state for page in PAGES for state in page.states} <= set(found)
    assert f"/parts/{FRAME}" in found
    assert not [path for path in found if path.startswith(("/api/", "/static/"))]
    assert len(found) == len(set(found))
    plain = {path for method, path in ACCESS if method == "GET" and path.count("/") == 1}
    assert plain <= set(found)


def test_options_of_the_command_reach_what_they_are_called_after() -> None:
    chosen = ConsoleMore(rate=7, restarts=3, rate_while_cut=11, starts=2, verdicts=13)
    options = browser_options(5.0, 17, "axe", chosen, smoke=False)
    assert (options.seconds, options.rate_per_s, options.cuts, options.restarts) == (5, 7, 17, 3)
    assert (options.rate_while_cut_per_s, options.starts, options.verdicts) == (11, 2, 13)
    assert browser_options(5.0, 17, "", chosen, smoke=True).starts == 1


def test_weight_is_of_each_file_once_and_compressed() -> None:
    url = "http://127.0.0.1:1/static/console.css?abc"
    assert gz_bytes([url, url, "http://127.0.0.1:1/live"]) == len(
        gzip.compress(asset("console.css"))
    )


def test_made_up_parts_can_be_drawn() -> None:
    odd = [d for d, _ in map(part_of_now, range(60)) if d.inspection and d.inspection.region]
    assert odd
    for decision in odd:
        assert decision.inspection is not None
        assert decision.inspection.region is not None
        assert region_mask(decision.inspection.region).any()


def test_a_listener_counts_what_comes_twice_and_keeps_the_last_id() -> None:
    listener = StreamListener(nobody, "")  # type: ignore[arg-type]
    one, two = uuid4(), uuid4()

    async def given() -> None:
        for part, html in ((one, "a"), (one, 'b class="plc acknowledged"'), (two, "a"), (two, "a")):
            listener._take("data: " + json.dumps({"parts": [{"id": str(part), "html": html}]}))
            listener._take("id: d0-17")
            listener._take("")
        listener._take("id: d0-18")  # and the connection is cut

    import asyncio

    asyncio.run(given())
    assert listener.seen.doubles == 1
    assert listener.seen.told == {one}
    assert set(listener.seen.at_s) == {one, two}
    assert listener._last == "d0-17"


def test_what_a_page_told_is_read_with_its_first_time() -> None:
    page = ChromiumPage("s", "c", nobody)
    row = uuid4()
    for at, doubles, done in ((1000, 0, []), (2000, 2, [f"p{row}"])):
        said = {"at": at, "fresh": [f"p{row}"], "doubles": doubles, "done": done}
        page.hear("Runtime.bindingCalled", {"payload": json.dumps(said)})
    seen = seen_rows(page)
    assert (seen.at_s, seen.doubles, seen.told) == ({row: 1.0}, 2, {row})


def test_a_page_hears_errors_and_requests() -> None:
    page = ChromiumPage("s", "c", nobody)
    page.hear("Network.requestWillBeSent", {"request": {"url": "http://evil.example/x"}})
    page.hear("Log.entryAdded", {"entry": {"level": "error", "text": "no", "url": "u"}})
    page.hear("Log.entryAdded", {"entry": {"level": "warning", "text": "well"}})
    page.hear("Runtime.consoleAPICalled", {"type": "log", "args": []})
    assert page.requests == ["http://evil.example/x"]
    assert page.errors == ["no u"]


def test_what_is_wrong_at_any_speed_ends_with_code_1() -> None:
    fine: dict[str, object] = {
        "screen": {"not_seen": 0, "p99_ms": 9999},
        "pages": {"errors": 0, "axe": "not asked"},
    }
    assert is_fine(fine)
    assert not is_fine({**fine, "reconnects": {"gaps": 0, "doubles": 1}})
    assert not is_fine({**fine, "review": {"not_taken": 1}})
    assert not is_fine({**fine, "pages": {"elsewhere": 1}})


def test_each_field_of_the_filter_is_asked_by_itself() -> None:
    from console.frame_query import NAMES

    alone = [set(f) - {"view", "passed"} for f in filters(1_000_000)]
    assert {next(iter(names)) for names in alone if len(names) == 1} == set(NAMES) - {"passed"}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_short_run_in_chromium(scratch: Path) -> None:
    if chromium_path() is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium`")
    options = ConsoleBenchmark(seconds=1.0, cuts=1, restarts=0, starts=1, looks=1, verdicts=4)
    told: list[str] = []
    found = await benchmark_console(options, scratch, told.append)
    assert is_fine(found), found
    pages = found["pages"]
    assert isinstance(pages, dict)
    assert pages["pages"] >= len([page for page in PAGES if page.link])
