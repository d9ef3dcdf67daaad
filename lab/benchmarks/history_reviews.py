"""What people said of a made-up plant's parts, for the history's benchmark, and the queue's time.

What did not pass has a picture, and 1 % of what passed, drawn for audits. Four people reviewed
three quarters of it; of that one in twenty was drawn for a second person, of which one in five
says otherwise, and a third person settled four of five disputes.
"""

import statistics
import time
from typing import Final

import asyncpg

from console.access import JUDGES
from history.filters import FrameFilter
from history.queries import History
from history.review_queue import ReviewQueue, WaitingFor
from lab.benchmarks.history_fill import Figures
from lab.progress import Say

PEOPLE: Final = ("Ada", "Bea", "Cem", "Dan")
"""Who reviews; each has an account."""
SECOND_SHARE: Final = 0.05
_AUDIT_SHARE: Final = 0.01
_CHUNK: Final = 5000
_NAMES: Final = "ARRAY[" + ", ".join(f"'{name}'" for name in PEOPLE) + "]"
_SECOND: Final = "audit_draw(md5('second' || f.part_frame_id)::uuid)"
"""The number by which a part is drawn for a second person, as ``history.review_queue`` has it."""


def _luck(word: str) -> str:
    """A number from 0 to below 1 that a part has for one purpose."""
    return f"audit_draw(md5('{word}' || f.part_frame_id)::uuid)"


def _person(after: int) -> str:
    """Who reviewed a part first, or who comes so many places behind."""
    return f"({_NAMES})[1 + (floor({_luck('who')} * 4)::int + {after}) % 4]"


def _reviews(number: int, severity: str, is_blind: str, settles: str, where: str) -> str:
    """An insert of the ``number``th review of some parts of a chunk."""
    return f"""INSERT INTO review (review_id, frame_id, reviewer, class_name, severity, comment,
        is_blind, is_settlement, reviewed_at, event)
    SELECT md5('{number}' || f.part_frame_id)::uuid, f.part_frame_id, {_person(number)}, '',
        {severity}, '', {is_blind}, {settles}, f.captured_at + interval '{number + 3} h', '{{}}'
    FROM part_fact f WHERE f.part_frame_id = ANY ($1) AND {where}"""  # noqa: S608 - words of our own


_OPPOSITE: Final = "CASE f.review_severity WHEN 'defect' THEN 'normal' ELSE 'defect' END"
_IS_SECOND: Final = f"f.review_severity IS NOT NULL AND {_SECOND} < {SECOND_SHARE}"
_IS_DONE: Final = f"{_IS_SECOND} AND {_luck('seconded')} < 0.9"
_DIFFERS: Final = f"{_luck('differs')} < 0.2"
_STATEMENTS: Final = (
    """INSERT INTO anomaly (frame_id, line, station, product_id, part_id, lot_id, plc_boot_id,
        trigger_seq, captured_at, is_simulated, event, reason, classify, anomalous, score,
        threshold, p_value, expert_version, image_key, mask_key, sha256, content_type)
    SELECT f.part_frame_id, f.line, f.station, f.product_id, f.part_id, f.lot_id, 7, 1,
        f.captured_at, false, '{}', CASE f.action WHEN 'pass' THEN 'audit' ELSE 'anomalous' END,
        f.action <> 'pass', f.action <> 'pass', 6.0, 5.0, 0.001, f.expert_version,
        'frames/' || f.part_frame_id, NULL, '', 'image/png'
    FROM part_fact f WHERE f.part_frame_id = ANY ($1)""",
    _reviews(
        0,
        f"CASE WHEN {_luck('alarm')} < 0.1 THEN 'normal' ELSE f.severity END",
        "f.action = 'pass'",
        "false",
        f"f.review_severity IS NULL AND {_luck('reviewed')} < 0.75",
    ),
    _reviews(
        1,
        f"CASE WHEN {_DIFFERS} THEN {_OPPOSITE} ELSE f.review_severity END",
        "true",
        "false",
        _IS_DONE,
    ),
    _reviews(
        2,
        "f.review_severity",
        "false",
        "true",
        f"{_IS_DONE} AND {_DIFFERS} AND {_luck('ended')} < 0.8",
    ),
)


async def fill_reviews(plain: asyncpg.Connection, say: Say) -> Figures:
    """Accounts, policies, pictures and reviews; nothing where they are there already."""
    if not await plain.fetchval("SELECT EXISTS (SELECT FROM console_user)"):
        say("reviews of what did not pass, and of what was drawn for audits")
        body = f'{{"audit_share": {_AUDIT_SHARE}, "second_review": {SECOND_SHARE}}}'
        async with plain.transaction():
            await plain.execute(
                "INSERT INTO policy_version (policy_hash, product_id, body) "
                "SELECT policy_hash, 'product-0', $1::json FROM part_count GROUP BY 1",
                body,
            )
            chosen = await plain.fetch(
                "SELECT part_frame_id AS part FROM part_fact WHERE action <> 'pass' "
                "OR (action = 'pass' AND audit_draw(part_frame_id) < $1) ORDER BY 1",
                _AUDIT_SHARE,
            )
            parts = [row["part"] for row in chosen]
            for low in range(0, len(parts), _CHUNK):
                for statement in _STATEMENTS:
                    await plain.execute(statement, parts[low : low + _CHUNK])
            await plain.executemany(
                "INSERT INTO console_user (name, password, pin, role, must_change, is_disabled) "
                "VALUES ($1, '', '', 'quality', false, false)",
                [(name,) for name in PEOPLE],
            )
        await plain.execute("VACUUM ANALYZE")
    return {"reviews": await plain.fetchval("SELECT count(*) FROM review")}


async def ask_the_queue(history: History, rounds: int) -> Figures:
    """The next twelve parts for each reason, and how many wait, over the whole history."""
    queue, everything = ReviewQueue(history, SECOND_SHARE, JUDGES), FrameFilter()
    took: dict[str, list[float]] = {reason.value: [] for reason in WaitingFor}
    counted: list[float] = []
    for _ in range(rounds):
        for reason in WaitingFor:
            begun = time.perf_counter()
            await queue.waiting(reason, everything, PEOPLE[1], limit=12)
            took[reason.value].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        await queue.counts(everything, PEOPLE[1], list(WaitingFor))
        counted.append(time.perf_counter() - begun)
    slowest = max(took, key=lambda reason: statistics.median(took[reason]))
    return {
        "review_next_p95_s": round(
            statistics.quantiles([s for each in took.values() for s in each], n=20)[-1], 3
        ),
        "slowest_reason": slowest,
        "slowest_reason_s": round(statistics.median(took[slowest]), 3),
        "review_counts_s": round(statistics.median(counted), 3),
    }
