"""Two workers of one name are told apart from a worker whose session was over once."""

import inspect
import logging

import pytest
import structlog
from aiokafka.consumer import group_coordinator

from streams.kafka.same_name import COORDINATOR, SESSIONS, WITHIN_S, SameName

ENDED = "Heartbeat failed: local member_id was not recognized; resetting and re-joining group"


def test_the_client_says_so() -> None:
    assert f'"{ENDED.partition(";")[0]}' in inspect.getsource(group_coordinator)
    assert group_coordinator.log is COORDINATOR


@pytest.mark.parametrize(("every_s", "times"), [(2.0, 1), (WITHIN_S, 0)])
def test_sessions_that_are_ended_again_and_again_are_told(every_s: float, times: int) -> None:
    now_s = 0.0
    watch = SameName("andon-inspect-a", lambda: now_s)
    with structlog.testing.capture_logs() as said:
        for number in range(SESSIONS):
            now_s = number * every_s
            assert watch.filter(logging.makeLogRecord({"msg": ENDED}))
            assert watch.filter(logging.makeLogRecord({"msg": "something else"}))
    assert [one["member"] for one in said] == ["andon-inspect-a"] * times
    assert all("ANDON_WORKER__INSTANCE" in one["what_to_do"] for one in said)
