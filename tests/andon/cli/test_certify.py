"""``andon certify`` as an engineer uses it, without a broker or a database."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from policies.authoring.loading import load_policy
from policies.errors import PolicyError
from streams.codes import Severity
from streams.events import Review
from tests.policies.review.test_reviewed import decided

runner = CliRunner()
POLICY = """\
product: tile
normal: {description: grey, false_alarm: hold}
classes:
  crack: {severity: defect, action: scrap, description: a line}
  dust: {severity: negligible, action: pass, description: specks}
auto_pass: certified
fallbacks: {unsure: {below: 0.2}}
"""


def certify(*words: str) -> Any:
    return runner.invoke(app, ["certify", *words], catch_exceptions=False)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "tile.yaml"
    path.write_text(POLICY, "utf-8")
    return path


def table(folder: Path, clean: int, defects: int, versions: bool = True) -> str:
    stated = {"expert_version": "e1", "classifier": "prototypes"} if versions else {}
    row = {"answer": "dust", "confidence": 0.9, **stated}
    rows = [row | {"class": "dust"}] * clean + [row | {"class": "crack"}] * defects
    path = folder / "reviews.json"
    path.write_text(json.dumps(rows), "utf-8")
    return str(path)


def test_a_certificate_is_written_and_in_force(policy: Path, tmp_path: Path) -> None:
    result = certify(str(policy), "--from", table(tmp_path, 59, 0), "--write")
    assert result.exit_code == 0
    assert "yes" in result.stdout
    assert "0 warnings" in result.stdout
    document = load_policy(policy).document
    assert document.certificate is not None
    assert document.certificate.classes["dust"].reviews == 59
    assert document.certificate.expert_version == "e1"


def test_what_is_missing_is_said_and_is_exit_code_one(policy: Path, tmp_path: Path) -> None:
    result = certify(str(policy), "--from", table(tmp_path, 50, 0), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    (entry,) = found["classes"]
    assert (entry["class_name"], entry["certified"], entry["more_reviews"]) == ("dust", False, 9)
    assert found["certificate"]["classes"] == {}
    assert found["promise"] == {"escape": 0.05, "confidence": 0.95, "of": "each"}
    looser = certify(str(policy), "--from", table(tmp_path, 50, 0), "--escape", "0.1")
    assert looser.exit_code == 0


def test_all_together_is_asked_of_a_random_sample_only(policy: Path, tmp_path: Path) -> None:
    path = table(tmp_path, 200, 3)
    rows = json.loads(Path(path).read_text("utf-8"))
    rows += [{**rows[0], "answer": "crack", "class": "crack"}] * 200
    Path(path).write_text(json.dumps(rows), "utf-8")
    result = certify(str(policy), "--from", path, "--of", "together", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["certificate"]["of"] == "together"
    refused = certify(str(policy), "--of", "together")
    assert refused.exit_code == 2
    assert "random sample" in refused.output


def test_an_export_of_the_history_is_read(policy: Path, tmp_path: Path) -> None:
    lines = []
    for number in range(60):
        frame = decided("dust").model_copy(update={"frame_id": UUID(int=number)})
        review = Review(
            review_id=UUID(int=number), frame_id=frame.frame_id,
            reviewer="ada", severity=Severity.NEGLIGIBLE, reviewed_at=frame.decided_at,
        )  # fmt: skip
        lines += [frame.model_dump_json(), review.model_dump_json()]
    (tmp_path / "export.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    result = certify(str(policy), "--from", str(tmp_path / "export.jsonl"), "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["reviews"]) == (0, 60)
    assert found["certificate"]["classifier"] == "prototypes"


def test_reviews_of_nobody_knows_what_are_not_written(policy: Path, tmp_path: Path) -> None:
    unstated = table(tmp_path, 59, 0, versions=False)
    with pytest.raises(PolicyError, match="columns expert_version and classifier"):
        certify(str(policy), "--from", unstated, "--write")
    assert policy.read_text("utf-8") == POLICY
    assert certify(str(policy), "--from", unstated, "--escape", "1.5").exit_code == 2


def test_a_file_is_replaced_whole_with_its_mode_and_ends_of_lines(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written in place, so that a full disk left half a policy, and CR LF became LF."""
    policy.write_bytes(POLICY.replace("\n", "\r\n").encode())
    policy.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(policy)
    before = policy.read_bytes()
    words = (str(link), "--from", table(tmp_path, 59, 0), "--write")

    def full(path: Path, body: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(body[:20])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            certify(*words)
    assert policy.read_bytes() == before
    assert certify(*words).exit_code == 0
    written = policy.read_bytes()
    assert written.startswith(before)
    assert written.count(b"\n") == written.count(b"\r\n")
    assert (link.is_symlink(), policy.stat().st_mode & 0o777) == (True, 0o640)
    assert not list(tmp_path.glob(".*"))
