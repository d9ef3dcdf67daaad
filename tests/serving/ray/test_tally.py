"""What a replica says of its own work."""

from serving.ray.replicas import ReplicaStatus
from serving.ray.tally import ReplicaTally, resident_bytes
from streams.codes import ReasonCode
from streams.ports import Failure


def test_answers_are_counted_by_how_they_ended() -> None:
    tally = ReplicaTally()
    failed = Failure(ReasonCode.UNDECODABLE_IMAGE, "OSError", "no picture")
    tally.add([object(), failed, object()])
    tally.add([])
    tally.add([failed])
    said = ReplicaStatus.model_validate({"replica": "a", "deployment": "b", **tally.said()})
    assert (said.scored, said.failed) == (2, 2)
    assert said.cpu_seconds > 0
    assert said.resident_bytes > 1 << 20


def test_memory_that_is_used_is_counted() -> None:
    before = resident_bytes()
    held = bytearray(64 << 20)
    held[::4096] = b"1" * len(held[::4096])
    assert resident_bytes() - before > 32 << 20
