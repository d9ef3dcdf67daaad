"""The inspect role over twins: what it decides, when, and what it keeps."""

from collections import Counter
from dataclasses import replace

import pytest

from streams.codes import Action, DecisionSource, ReasonCode
from streams.events import ShotVerdict, decision_id
from streams.ids import new_frame_id
from streams.topics import SHOTS
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import BROKEN, ODD, delivery, frame
from tests.streams.roles.inspecting import MakeBench, anomalies, decisions, letters, role_over


@pytest.mark.asyncio
async def test_a_normal_frame_is_decided_by_the_expert(bench: MakeBench) -> None:
    b = bench()
    shot = frame()
    await role_over(b, TwinExpert()).handle(delivery(shot, b"picture"))
    (decision,) = decisions(b)
    assert (decision.source, decision.action) == (DecisionSource.EXPERT, Action.PASS)
    assert decision.frame_id == shot.frame_id
    assert decision.inspection is not None
    assert not decision.is_late
    assert {"inspect", "queue_inspect", "expert", "policy"} <= set(decision.timings_ms)
    assert not anomalies(b)
    assert not letters(b)
    labels = {"source": "expert", "action": "pass", "reason": "NORMAL"}
    place = {"line": shot.line, "product": shot.product_id}
    assert b.value("andon_decisions_total", **place, **labels) == 1


@pytest.mark.asyncio
async def test_a_golden_part_is_checked_when_the_expert_or_a_fallback_decides_it(
    bench: MakeBench,
) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(delivery(frame(part_id="golden"), b"picture"))
    await role_over(b, TwinExpert(down=True)).handle(delivery(frame(part_id="golden"), b"picture"))
    await role_over(b, TwinExpert()).handle(delivery(frame(), b"picture"))
    checks = [decision.golden for decision in decisions(b)]
    assert [check and check.is_right for check in checks] == [True, False, None]


@pytest.mark.asyncio
async def test_an_anomalous_frame_goes_to_classification_with_its_picture(
    bench: MakeBench,
) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(delivery(frame(), ODD + b"1"))
    ((anomaly, image),) = anomalies(b)
    assert anomaly.classify
    assert anomaly.reason == "anomalous"
    assert anomaly.inspection.region is not None
    assert image == ODD + b"1"
    assert not decisions(b)


@pytest.mark.asyncio
@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (1.0, 1)])
async def test_the_audit_keeps_normal_pictures(bench: MakeBench, share: float, kept: int) -> None:
    b = bench()
    await role_over(b, TwinExpert(), audit_share=share).handle(delivery(frame(), b"good"))
    assert [(a.classify, a.reason) for a, _ in anomalies(b)] == [(False, "audit")] * kept
    assert decisions(b)[0].source is DecisionSource.EXPERT


@pytest.mark.asyncio
async def test_an_undecodable_image_is_held_and_named(bench: MakeBench) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(delivery(frame(), BROKEN))
    (decision,) = decisions(b)
    assert (decision.source, decision.action) == (DecisionSource.FALLBACK, Action.HOLD)
    assert decision.reason_code is ReasonCode.UNDECODABLE_IMAGE
    ((letter, original),) = letters(b)
    assert letter.error_type == "UNDECODABLE_IMAGE"
    assert original == BROKEN


@pytest.mark.asyncio
@pytest.mark.parametrize("missing", ["ce_deadline", "ce_type", "ce_frameid", "ce_capturedat"])
async def test_a_malformed_event_is_held_when_the_part_can_be_read(
    bench: MakeBench, missing: str
) -> None:
    b = bench()
    sound = delivery(frame(part_id="'; DROP TABLE part;\n🦀"), b"bytes", offset=9)
    broken = replace(sound, headers=[h for h in sound.headers if h[0] != missing])
    role = role_over(b, TwinExpert())
    await role.handle(broken)
    await role.handle(broken)
    first, again = decisions(b)
    assert first.reason_code is ReasonCode.MALFORMED_EVENT
    assert first.action is Action.HOLD
    assert (first.line, first.trigger_seq, first.product_id) == ("line-1", 7, "tile")
    assert first.result_id == again.result_id
    assert letters(b)[0][0].error_type == "MALFORMED_EVENT"
    assert letters(b)[0][0].letter_id == letters(b)[1][0].letter_id


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers", [[], [("ce_type", b"\xff")], [("ce_line", b"l"), ("ce_station", b"s")]]
)
async def test_what_names_no_part_is_a_dead_letter_only(
    bench: MakeBench, headers: list[tuple[str, bytes]]
) -> None:
    b = bench()
    await role_over(b, TwinExpert()).handle(replace(delivery(frame(), b"x"), headers=headers))
    assert not decisions(b)
    assert letters(b)[0][1] == b"x"


@pytest.mark.asyncio
async def test_a_future_schema_version_is_a_fallback_and_a_dead_letter(bench: MakeBench) -> None:
    b = bench()
    sound = delivery(frame(), b"x")
    headers = [*(h for h in sound.headers if h[0] != "ce_type"), ("ce_type", b"andon.frame.v9")]
    await role_over(b, TwinExpert()).handle(replace(sound, headers=headers))
    assert decisions(b)[0].reason_code is ReasonCode.MALFORMED_EVENT
    assert "andon.frame.v9" in letters(b)[0][0].error


@pytest.mark.asyncio
async def test_what_nobody_foresaw_is_a_fallback_and_a_dead_letter(bench: MakeBench) -> None:
    b = bench()
    defect = ZeroDivisionError("a defect of ours")
    await role_over(b, TwinExpert()).failed(delivery(frame(), b"bytes"), defect)
    assert decisions(b)[0].reason_code is ReasonCode.NO_DECISION
    assert "ZeroDivisionError" in letters(b)[0][0].error


@pytest.mark.asyncio
async def test_a_large_image_comes_from_the_store(bench: MakeBench) -> None:
    b = bench()
    store = InMemoryImageStore()
    await store.put("frames/large", ODD + b"large", "image/png")
    role = role_over(b, TwinExpert(), images=store)
    await role.handle(delivery(frame(ODD + b"large", dataref="frames/large"), b""))
    ((anomaly, value),) = anomalies(b)
    assert anomaly.frame.dataref == "frames/large"
    assert value == b""


@pytest.mark.asyncio
async def test_a_large_image_that_is_gone_is_held_and_named(bench: MakeBench) -> None:
    b = bench()
    role = role_over(b, TwinExpert(), images=InMemoryImageStore())
    await role.handle(delivery(frame(dataref="frames/gone"), b""))
    assert decisions(b)[0].source is DecisionSource.FALLBACK
    assert "frames/gone" in letters(b)[0][0].error


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_waited_for(bench: MakeBench) -> None:
    b = bench()
    b.publisher.down_for = 3
    await role_over(b, TwinExpert()).handle(delivery(frame(), b"good"))
    assert len(decisions(b)) == 1
    assert b.value("andon_retries_total", what="publish") == 3


@pytest.mark.asyncio
async def test_one_of_several_shots_gets_a_verdict_and_no_decision(bench: MakeBench) -> None:
    b = bench()
    part = new_frame_id()
    shot = frame(shot=2, shots_expected=3, shot_name="left", part_frame_id=part)
    await role_over(b, TwinExpert()).handle(delivery(shot, b"picture"))
    ((verdict, _),) = b.publisher.of(SHOTS.name)
    assert isinstance(verdict, ShotVerdict)
    assert (verdict.part_frame_id, verdict.shot, verdict.shot_name) == (part, 2, "left")
    assert verdict.frame_id == shot.frame_id
    assert verdict.result_id == decision_id(shot.frame_id, DecisionSource.EXPERT, of_shot=True)
    assert not decisions(b)
    assert b.value("andon_shots_total", source="expert", action="pass") == 1


@pytest.mark.asyncio
async def test_the_audit_takes_all_shots_of_a_part_or_none(bench: MakeBench) -> None:
    b = bench()
    role = role_over(b, TwinExpert(), audit_share=0.5)
    for part in (new_frame_id() for _ in range(12)):
        for number in (1, 2, 3):
            shot = frame(shot=number, shots_expected=3, part_frame_id=part)
            await role.handle(delivery(shot, b"picture"))
    kept = Counter(anomaly.frame.part_frame_id for anomaly, _ in anomalies(b))
    assert 0 < len(kept) < 12
    assert set(kept.values()) == {3}


@pytest.mark.parametrize("broken", ["ce_shot", "ce_partframeid", "ce_shotsexpected"])
@pytest.mark.asyncio
async def test_a_shot_of_an_unreadable_place_decides_nothing(bench: MakeBench, broken: str) -> None:
    b = bench()
    shot = frame(shot=2, shots_expected=3, part_frame_id=new_frame_id())
    message = delivery(shot, b"picture")
    headers = [(k, b"?" if k == broken else v) for k, v in message.headers]
    await role_over(b, TwinExpert()).handle(replace(message, headers=tuple(headers)))
    assert len(letters(b)) == 1
    assert not decisions(b)
    assert not b.publisher.of(SHOTS.name)
