"""The README's way on Apache Kafka with other people's readers attached: no fault of the list."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.needs import need_kafka
from tests.interop.tools import node_tools

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_fault_of_the_list(scratch: Path) -> None:
    need_kafka()
    node_tools()
    command = [sys.executable, "-m", "tests.interop.readme_line", str(scratch / "line")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=3500,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("no fault of the list")
