"""A frame that names its picture: what a message can make the inspect role read."""

from collections.abc import Callable
from typing import Any

import pytest

from streams.codes import DecisionSource
from streams.events import DeadLetter, Decision
from streams.roles.inspect import InspectRole
from streams.topics import ANOMALIES, DEAD, DECISIONS
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.conftest import Bench
from tests.streams.made import delivery, frame

MakeBench = Callable[..., Bench]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"dataref": "dead/0190"}, "not below frames/"),
        ({"dataref": "frames/../dead/0190"}, "not below frames/"),
        ({"dataref": ""}, "not below frames/"),
        ({"size_bytes": 3}, "more than"),
        ({"size_bytes": 9}, "not the picture"),
        ({"size_bytes": 1 << 62}, "at most 67108864"),
        ({"sha256": "00" * 32}, "not the picture"),
    ],
)
async def test_a_message_reads_no_other_object(
    bench: MakeBench, changed: dict[str, Any], says: str
) -> None:
    """Whoever can write the topic names any key, size and hash: one part is held, and named."""
    b = bench()
    store = InMemoryImageStore()
    for key in ("frames/large", "dead/0190"):
        await store.put(key, b"secret", "image/png")
    fields = {"dataref": "frames/large", **changed}
    role = InspectRole(TwinExpert(), TwinPolicies(audit_share=0.0), b.results, images=store)
    await role.handle(delivery(frame(b"secret", **fields), b""))
    ((decision, _),) = b.publisher.of(DECISIONS.name)
    assert isinstance(decision, Decision)
    assert decision.source is DecisionSource.FALLBACK
    ((letter, _),) = b.publisher.of(DEAD.name)
    assert isinstance(letter, DeadLetter)
    assert says in letter.error
    assert not b.publisher.of(ANOMALIES.name)
