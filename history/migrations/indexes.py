"""Indexes of tables that are recorded into, which an earlier version may have filled.

To build one within a migration holds up the recording for as long as the table is read, so these
are built afterwards (``history.migrate.build_indexes``). All others are made with their tables.
"""

from collections.abc import Mapping

INDEXES: Mapping[str, str] = {
    "part_fact_audit_draw_idx": "ON part_fact (audit_draw(part_frame_id)) WHERE action = 'pass'",
    "decision_golden_idx": "ON decision (frame_id) WHERE is_golden",
}
"""What follows the name in ``CREATE INDEX``."""
