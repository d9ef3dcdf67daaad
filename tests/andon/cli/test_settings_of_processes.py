"""Every process ends on a mistake in its settings, with one line that names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROCESSES = (
    "worker inspect",
    "gateway",
    "console",
    "doctor",
    "history list",
    "llm check",
    "policy log",
    "stack up",
    "train -p x -i .",
)


@pytest.mark.parametrize("words", PROCESSES)
def test_a_mistake_ends_the_process_with_one_line(words: str, tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text("[kafak]\npartitions = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "andon", *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ANDON_KAFKA_PARTITIONS": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert "ANDON_KAFKA_PARTITIONS is no setting; did you mean ANDON_KAFKA__PARTITIONS?" in line
