"""The exported function block, read by somebody else's parser of IEC 61131-3: blark."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from connectors.controller_code import structured_text
from connectors.handshake.signals import Signal
from lab.peers.environment import PeerError, programs_of
from tests.interop.tools import CACHE

pytestmark = pytest.mark.slow
REQUIREMENT = "blark==0.8.3"


@cache
def programs() -> Path:
    """The folder of the parser's program; skips, with the reason, where it cannot be had."""
    try:
        return programs_of(CACHE / REQUIREMENT.replace("==", "-"), (REQUIREMENT,), 300)
    except PeerError as error:
        pytest.skip(f"no parser of Structured Text: {error}")


def parsed(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What the parser finds in a source file; its exit code is 0 where it can read it."""
    path = folder / "FB_Andon.st"
    path.write_text(text, encoding="utf-8")
    command = [str(programs() / "blark"), "parse", "--summary", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_others_parser_reads_the_structure_and_the_block(tmp_path: Path) -> None:
    found = parsed(tmp_path, structured_text())
    assert (found.returncode, found.stderr) == (0, "")
    names = {line.partition("name: ")[2].strip() for line in found.stdout.splitlines()}
    members = {s.wire_name for s in Signal if s is not Signal.RESULT_TIME}
    assert {"ST_AndonSignals", "FB_Andon", *members} <= names


def test_it_would_not_read_a_block_that_is_no_structured_text(tmp_path: Path) -> None:
    found = parsed(tmp_path, structured_text().replace("END_IF", "END_IFF", 1))
    assert found.returncode != 0
    assert "END_IF" in found.stderr
