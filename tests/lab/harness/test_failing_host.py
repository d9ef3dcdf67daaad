"""A process whose host fails as it is told: its disk below a folder, and its wall clock."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lab.harness.failing_host import VARIABLE

PROGRAM = """
import datetime, errno, json, os, pathlib, sys, time
from lab.harness import failing_host as host
from pathlib import Path
faults = host.HostFaults(Path(os.environ[host.VARIABLE]))
host._with_disk(faults)
host._with_clock(faults)
from datetime import UTC, datetime as moment
from pydantic import BaseModel

class Timed(BaseModel):
    at: moment

folder, elsewhere = Path(sys.argv[1]), Path(sys.argv[2])
found = {"time": time.time(), "now": moment.now(UTC).timestamp()}
found["monotonic"] = time.monotonic()
found["made"] = Timed.model_validate_json('{"at": "2026-01-01T00:00:00Z"}').at == moment(
    2026, 1, 1, tzinfo=UTC
)
found["kept"] = isinstance(moment.now(UTC), moment)
for name, where in (("below", folder), ("beside", elsewhere)):
    try:
        with (where / "file").open("wb") as file:
            file.write(b"1")
        found[name] = 0
    except OSError as error:
        found[name] = error.errno
descriptor = os.open(folder / "kept", os.O_RDWR)
try:
    os.fdatasync(descriptor)
    found["sync"] = 0
except OSError as error:
    found["sync"] = error.errno
found["read"] = (folder / "kept").read_text()
print(json.dumps(found))
"""


def asked(tmp_path: Path, said: dict[str, object] | None) -> dict[str, float]:
    below, beside, told = tmp_path / "below", tmp_path / "beside", tmp_path / "host.json"
    for folder in (below, beside):
        folder.mkdir(exist_ok=True)
    (below / "kept").write_text("kept")
    if said is not None:
        told.write_text(json.dumps({"folder": str(below), **said}))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(below), str(beside)],
        env={**os.environ, VARIABLE: str(told), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_without_a_file_the_host_is_sound(tmp_path: Path) -> None:
    found = asked(tmp_path, None)
    assert (found["below"], found["beside"], found["sync"]) == (0, 0, 0)
    assert abs(found["now"] - found["time"]) < 5
    assert found["made"]
    assert found["kept"]


def test_a_disk_that_fails_fails_below_its_folder_only(tmp_path: Path) -> None:
    found = asked(tmp_path, {"errno": 28})
    assert (found["below"], found["beside"], found["sync"]) == (28, 0, 28)
    assert found["read"] == "kept"


def test_a_wall_clock_that_is_off_leaves_the_monotonic_one(tmp_path: Path) -> None:
    found = asked(tmp_path, {"ahead_s": -3600.0})
    assert -3700 < found["time"] - time.time() < -3500
    assert abs(found["now"] - found["time"]) < 5
    assert abs(found["monotonic"] - time.monotonic()) < 100
    assert found["made"]
    assert found["kept"]
