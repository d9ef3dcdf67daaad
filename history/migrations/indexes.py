"""Indexes of tables that are recorded into, which an earlier version may have filled.

To build one within a migration holds up the recording for as long as the table is read, so these
are built afterwards (``history.migrate.build_indexes``). All others are made with their tables.
"""

from collections.abc import Mapping

from history.facts import SECOND_DRAW, WHY_STOPPED

INDEXES: Mapping[str, str] = {
    "part_fact_audit_draw_idx": "ON part_fact (audit_draw(part_frame_id)) WHERE action = 'pass'",
    "part_fact_open_idx": f"ON part_fact (({WHY_STOPPED}), captured_at, part_frame_id) "
    "WHERE action <> 'pass' AND review_severity IS NULL",
    "part_fact_second_draw_idx": f"ON part_fact ({SECOND_DRAW}) WHERE review_severity IS NOT NULL",
    "decision_golden_idx": "ON decision (frame_id) WHERE is_golden",
}
"""What follows the name in ``CREATE INDEX``."""
