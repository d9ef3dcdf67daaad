"""The pure cores, and the unit tests that are their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Core:
    """Modules that decide something, and the tests that must notice when they are changed."""

    modules: tuple[str, ...]
    """Files, from the repository's root."""
    tests: tuple[str, ...]
    """Files of tests, quick ones first: the first that fails ends a mutant."""


CORES: Final[Mapping[str, Core]] = {
    "handshake": Core(
        tuple(
            f"connectors/handshake/{name}.py"
            for name in ("machine", "results", "triggers", "state", "sequence", "values", "config")
        ),
        (
            "tests/connectors/test_handshake_rules.py",
            "tests/connectors/test_handshake_triggers.py",
            "tests/connectors/test_handshake_restart.py",
            "tests/connectors/test_handshake.py",
            "tests/connectors/test_handshake_outages.py",
            "tests/connectors/test_handshake_properties.py",
            "tests/connectors/test_changeover.py",
        ),
    ),
    "journal": Core(
        tuple(
            f"connectors/gateway/{name}.py"
            for name in ("journal", "journal_entries", "journal_frames")
        ),
        (
            "tests/connectors/test_journal_edges.py",
            "tests/connectors/test_journal_rewriting.py",
            "tests/connectors/test_journal.py",
            "tests/connectors/test_journal_disk.py",
            "tests/connectors/test_journal_damage.py",
        ),
    ),
    "spool": Core(
        ("connectors/gateway/spool.py", "connectors/gateway/spool_files.py"),
        ("tests/connectors/test_spool_edges.py", "tests/connectors/test_spool.py"),
    ),
    "join": Core(
        ("streams/roles/join_core.py",),
        ("tests/streams/roles/test_core_edges.py", "tests/streams/roles/test_join.py"),
    ),
    "limits": Core(
        ("streams/roles/limits_core.py",),
        ("tests/streams/roles/test_core_edges.py", "tests/streams/roles/test_limits.py"),
    ),
    "record": Core(("streams/roles/record_core.py",), ("tests/streams/roles/test_record.py",)),
    "decisions": Core(
        ("streams/roles/decisions.py", "streams/roles/clocks.py"),
        (
            "tests/streams/roles/test_decisions.py",
            "tests/streams/roles/test_gateway_clocks.py",
            "tests/streams/roles/test_line_waits.py",
            "tests/streams/roles/test_inspect.py",
            "tests/streams/roles/test_inspect_in_time.py",
            "tests/streams/roles/test_classify.py",
        ),
    ),
    "evaluate": Core(
        ("policies/evaluate.py",),
        (
            "tests/policies/test_evaluate.py",
            "tests/policies/test_certified.py",
            "tests/policies/test_properties.py",
            "tests/policies/test_shots.py",
        ),
    ),
    "calibration": Core(
        ("serving/experts/calibration.py",),
        (
            "tests/serving/experts/test_calibration_tail.py",
            "tests/serving/experts/test_calibration.py",
        ),
    ),
}
