"""Parts that the controller may have held because it heard no heartbeat of the gateway."""

from dataclasses import replace

import pytest

from connectors.handshake import HandshakeConfig, Phase, step
from connectors.handshake import values as hs
from connectors.handshake.machine import restore
from streams.codes import AckOutcome
from tests.connectors.handshake_state import CONFIG, KEY, part, shown, state, trigger
from tests.connectors.world import World, frame_id

DEAD = CONFIG.dead_after_s


def test_a_result_in_time_after_a_silence_says_that_the_default_may_stand() -> None:
    world = World(seed=3, config=HandshakeConfig(result_window_ms=8000), decide_s=(2.0, 2.1))
    world.connect()
    world.run(1)
    key = world.trigger()
    world.run(0.1)
    world.cut()
    world.run(1.7)
    world.connect()
    world.run(5)
    world.check()
    (told,) = [report for report in world.reports if report.key == key]
    assert (told.outcome, key in world.held) == (AckOutcome.ACKNOWLEDGED, True)
    assert "silence of the gateway" in told.detail
    later = world.trigger()
    world.run(3)
    (sure,) = [report for report in world.reports if report.key == later]
    assert (sure.outcome, sure.detail) == (AckOutcome.ACKNOWLEDGED, "")


def test_a_short_cut_leaves_nothing_in_doubt() -> None:
    world = World(seed=3, config=HandshakeConfig(result_window_ms=8000), decide_s=(2.0, 2.1))
    world.connect()
    world.run(1)
    world.trigger()
    world.run(0.1)
    world.cut()
    world.run(0.4)
    world.connect()
    world.run(5)
    assert [report.detail for report in world.reports] == [""]


@pytest.mark.parametrize(("silent_s", "unheard"), [(DEAD - 0.01, False), (DEAD, True)])
@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.QUEUED, Phase.WRITING])
def test_the_silence_is_as_long_as_the_controller_may_have_seen_it(
    silent_s: float, unheard: bool, phase: Phase
) -> None:
    """From when the last heartbeat was sent to when the next one was confirmed."""
    before = state(part(phase=phase), spoke_at=10.0)
    after, _ = step(before, 10.0 + silent_s, hs.BeatWritten(10.4))
    assert (after.parts[KEY].unheard, after.spoke_at) == (unheard, 10.4)


def test_what_the_controller_had_before_is_in_no_doubt() -> None:
    had = part(phase=Phase.WRITTEN, written_at=10.0, result_seq=1)
    after, _ = step(state(had), 12.0, hs.BeatWritten(11.9))
    assert not after.parts[KEY].unheard


def test_the_result_that_ends_a_silence_is_in_doubt_itself() -> None:
    late = part(phase=Phase.WRITING, result_seq=1, ordered_at=10.9)
    late = replace(late, deadline=20.0)
    after, _ = step(state(late), 12.0, hs.ResultWritten(KEY))
    assert after.parts[KEY].unheard


def test_after_a_restart_nobody_knows_how_long_it_was() -> None:
    before = restore(CONFIG, 1, 5, [part()], {}, result_seq=0)
    after, _ = step(before, 10.5, hs.Connected(shown()))
    assert after.parts[KEY].unheard


@pytest.mark.parametrize(("later_s", "unheard"), [(0.49, True), (0.5, False)])
def test_a_trigger_seen_right_after_a_silence_may_have_come_during_it(
    later_s: float, unheard: bool
) -> None:
    now = 10.0 + DEAD
    quiet, _ = step(state(heartbeat_at=now), now, hs.BeatWritten(now))
    given = trigger(6)
    after, _ = step(quiet, now + later_s, hs.TriggerSeen(given, frame_id(given)))
    (seen,) = after.parts.values()
    assert seen.unheard == unheard
