"""What the gateway tells Prometheus of the handshake, step by step."""

import asyncio
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from connectors.gateway.metrics import GATEWAY_LABELS, GATEWAY_METRICS, GatewayMeter
from connectors.gateway.spool import Spool
from connectors.handshake import Phase
from connectors.handshake import values as hs
from connectors.handshake.results import report
from streams.codes import AckOutcome, FaultCode, ReasonCode
from streams.envelope import Message
from streams.roles.metrics import LABELS
from tests.connectors.handshake_state import part, state
from tests.connectors.watched_world import played_world

PLACE = {"line": "L1", "station": "S1"}


def meter(in_charge: bool = True, spool: Spool | None = None) -> GatewayMeter:
    spools = {} if spool is None else {"pictures": spool}
    return GatewayMeter("L1", "S1", lambda: in_charge, spools, 1 << 20, lambda: {"tile": "ab12"})


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"andon_gateway_{name}", PLACE | labels)


def test_a_whole_line_is_counted() -> None:
    """Every part is exposed once and told once, and the state is what the handshake says."""
    found = meter()
    world = played_world(found.saw, silent=0.2)
    counted = found.registry
    assert value(counted, "captures_total") == len(world.captured) == 20
    told = [one for one in world.reports if one.outcome is AckOutcome.ACKNOWLEDGED]
    by_expert = value(
        counted, "results_total", outcome="acknowledged", action="pass", source="expert"
    )
    by_gateway = value(
        counted, "results_total", outcome="acknowledged", action="rework", source="watchdog"
    )
    assert by_expert
    assert by_gateway
    assert by_expert + by_gateway == len(told) == 20
    assert value(counted, "watchdog_decisions_total", reason="NO_DECISION") == by_gateway
    assert value(counted, "trigger_to_result_seconds_count") == 20
    assert value(counted, "window_left_seconds_count") == 20
    assert [value(counted, name) for name in ("ready", "plc_connected", "plc_alive")] == [1, 1, 1]
    world.cut()
    assert (value(counted, "ready"), value(counted, "plc_connected")) == (0, 0)


def test_a_fault_is_there_before_it_stands_and_after_it_is_over() -> None:
    found = meter()
    assert value(found.registry, "fault", fault="CAMERA") == 0
    before = state()
    broken = replace(before, faults=frozenset({FaultCode.CAMERA}))
    found.saw(before, broken, [])
    assert value(found.registry, "fault", fault="CAMERA") == 1
    found.saw(broken, before, [])
    assert value(found.registry, "fault", fault="CAMERA") == 0


def test_a_missed_trigger_is_no_decision_of_the_watchdog() -> None:
    found = meter()
    missed = part(missed=True)
    found.saw(state(), state(missed), [hs.Decide(missed, ReasonCode.MISSED_TRIGGER)])
    assert value(found.registry, "missed_total") == 1
    assert value(found.registry, "open_parts") == 1
    assert value(found.registry, "watchdog_decisions_total", reason="MISSED_TRIGGER") is None


def test_what_was_never_written_has_no_time() -> None:
    found = meter()
    late = report(part(phase=Phase.QUEUED), AckOutcome.LATE)
    found.saw(state(), state(), [late])
    assert (
        value(found.registry, "results_total", outcome="late", action="pass", source="expert") == 1
    )
    assert value(found.registry, "trigger_to_result_seconds_count") == 0


def test_charge_spool_and_policies_are_asked_for_at_the_scrape(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.open()
    counted = meter(in_charge=False, spool=spool).registry
    assert value(counted, "in_charge") == 0
    assert value(counted, "spooled_messages", lane="pictures") == 0
    for _ in range(7):
        asyncio.run(spool.put("andon.acks", Message(b"L1/S1", b"{}", ())))
    assert value(counted, "spooled_messages", lane="pictures") == 7
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert value(counted, "spooled_bytes", lane="pictures") == on_disk > 0
    assert value(counted, "spool_limit_bytes") == 1 << 20
    assert value(counted, "policy_info", product="tile", hash="ab12") == 1


def test_no_label_names_a_part() -> None:
    labels = {name for metric in GATEWAY_METRICS for name in metric.all_labels}
    assert not labels & {"part_id", "lot_id", "frame_id", "serial"}
    assert labels == (LABELS.keys() & labels) | GATEWAY_LABELS.keys()


def test_change_overs_are_timed_by_how_they_ended() -> None:
    found = meter()
    begun = hs.Changeover(1, 2, 3, 0, began_at=10.0, deadline=40.0)
    ends = (None, (FaultCode.RECIPE_EXPERT, "no expert"), (FaultCode.NONE, "another one"))
    found.saw(state(), state(), [hs.RecipeReport(begun, 10.25, end) for end in ends])
    for ended in ("acknowledged", "refused", "superseded"):
        assert value(found.registry, "changeover_seconds_count", ended=ended) == 1
        assert value(found.registry, "changeover_seconds_sum", ended=ended) == 0.25
