"""Messages that no producer of the line sends: sound ones with something wrong, from a seed."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from streams.codes import Action, DecisionSource
from streams.envelope import Message, to_message
from streams.events import Alert, CountedPart, Event, PolicyInForce
from streams.topics import ALL, MAX_MESSAGE_BYTES
from tests.history import make
from tests.streams.made import recipe_request
from tests.streams.statuses import gateway_said

BRACKETS = b"[" * 200_000
EXTREMES: tuple[Any, ...] = (
    None,
    "",
    -1,
    0,
    1 << 31,
    -(1 << 31) - 1,
    1 << 64,
    10**400,
    1e39,
    -1e308,
    float("nan"),
    float("inf"),
    True,
    [],
    {},
    [[[[[[]]]]]],
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1969-12-31T23:59:59Z",
    "x" * 100_000,
    "\ud800",
    "\x00",
    "00000000-0000-0000-0000-000000000000",
    {"mask_height": 20_000, "mask_width": 20_000, "mask_rle": "04"},
    {"x": 1e308, "y": -1, "width": 1 << 40, "height": None},
)
"""Values for any field: of another type, or of its own beyond every bound."""
RAW = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"null",
    b"1" * 5000,
    b"-",
    b'"\\ud800"',
    b"{}",
    b"[]",
    BRACKETS,
    b'{"a":' * 100_000,
    b"[" * 40 + b"]" * 40,
)


def samples() -> dict[str, list[Message]]:
    """Sound messages of each topic."""
    at = make.captured(1)
    alert = Alert(
        alert_id=make.frame_id(1),
        line="line-1",
        product_id="tile",
        limit="holds",
        reason="many",
        request_stop=True,
        raised_at=at,
    )
    counted = CountedPart(
        line="line-1",
        product_id="tile",
        number=3,
        frame_id=make.frame_id(3),
        source=DecisionSource.EXPERT,
        action=Action.PASS,
        watched={"score": 0.5},
        decided_at=at,
    )
    classes = {"crack": {"severity": "defect", "action": "scrap"}}
    policy = PolicyInForce(
        product_id="tile",
        policy_hash="0",
        body={"product": "tile", "classes": classes},
        applied_at=at,
    )
    decision = make.decision(1, DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
    events: list[Event] = [
        make.anomaly(1).frame,
        make.anomaly(1),
        decision.model_copy(
            update={"inspection": make.inspection(), "classification": make.classification()}
        ),
        make.verdict(1),
        make.acknowledgement(decision),
        make.review(1),
        make.dead_letter(1),
        alert,
        counted,
        policy,
        recipe_request(),
        gateway_said(),
    ]
    found: dict[str, list[Message]] = {topic.name: [] for topic in ALL}
    for event in events:
        for topic in ALL:
            if topic.event is type(event):
                found[topic.name].append(to_message(event, b"picture"))
    return found


def broken(base: Message, seed: int) -> Iterator[Message]:
    """Endless messages made of a sound one; the first are the worst that are known."""
    for raw in RAW:
        yield replace(base, value=raw)
        for name, _ in base.headers:
            yield _with_header(base, name, raw)
    yield replace(base, value=b" " * MAX_MESSAGE_BYTES)
    yield replace(base, value=b'"' + b"x" * (MAX_MESSAGE_BYTES - 2) + b'"')
    yield _with_header(base, "ce_extra", b"h" * (1 << 20))
    yield _with_header(base, "ce_type", b"t" * (1 << 20))
    yield replace(base, headers=tuple((f"ce_h{n}", b"h" * 1000) for n in range(1000)))
    rng = random.Random(seed)
    while True:
        yield _mutated(base, rng)


def _mutated(base: Message, rng: random.Random) -> Message:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        match rng.randrange(6):
            case 0:
                base = replace(base, value=_flipped(base.value, rng))
            case 1:
                base = replace(base, value=base.value[: rng.randrange(len(base.value) + 1)])
            case 2 if base.headers:
                name, raw = rng.choice(base.headers)
                text = json.dumps(_changed(_parsed(raw), rng)).encode()
                wrong = rng.choice((text, _flipped(raw, rng), raw[:-1], rng.choice(RAW)))
                base = _with_header(base, name, wrong)
            case 3 if base.headers:
                kept = list(base.headers)
                kept.pop(rng.randrange(len(kept)))
                base = replace(base, headers=tuple(kept))
            case 4:
                base = replace(base, key=_flipped(base.key, rng))
            case _:
                changed = _changed(_parsed(base.value), rng)
                base = replace(base, value=json.dumps(changed).encode())
    return base


def _with_header(base: Message, name: str, raw: bytes) -> Message:
    others = tuple(h for h in base.headers if h[0] != name)
    return replace(base, headers=(*others, (name, raw)))


def _flipped(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return bytes([rng.randrange(256)])
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _changed(found: Any, rng: random.Random) -> Any:
    """A copy with one value, somewhere inside, that does not belong there."""
    if isinstance(found, dict) and found and rng.random() < 0.9:
        name = rng.choice(list(found))
        if rng.random() < 0.1:
            return {k: v for k, v in found.items() if k != name}
        return {**found, name: _changed(found[name], rng)}
    if isinstance(found, list) and found and rng.random() < 0.8:
        at = rng.randrange(len(found))
        return [*found[:at], _changed(found[at], rng), *found[at + 1 :]]
    return rng.choice(EXTREMES)
