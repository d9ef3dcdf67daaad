"""Lints: found where they are meant, silent where a file gives a reason."""

from pathlib import Path

import pytest

from policies.authoring.lints import LINTS
from policies.authoring.loading import check_file

HEAD = """\
product: p
mm_per_px: {default: 0.1}
normal: {description: grey}
classes:
  crack: {severity: defect, action: scrap, description: a line}
  dust: {severity: negligible, action: pass, description: specks}
fallbacks: {unsure: {below: 0.5}}
"""
CERTIFICATE = (
    f"certificate: {{escape: 0.05, confidence: 0.95, issued: '2026-01-31', decides: '{'0' * 64}', "
    "expert_version: e, classifier: c}\n"
)
DUSTY = "class == 'dust' && count > 1"
CRACKED = "class == 'crack' && count > 3"


def lints(tmp_path: Path, text: str) -> list[tuple[str, int, str]]:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    report = check_file(path)
    assert report.errors == ()
    return [(p.code, p.line, p.reason) for p in report.warnings]


def rules(*conditions: tuple[str, str]) -> str:
    lines = [
        f'  - {{name: r{n}, when: "{when}", action: {action}}}\n'
        for n, (when, action) in enumerate(conditions)
    ]
    return HEAD + "rules:\n" + "".join(lines)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (HEAD.replace("action: scrap", "action: pass"), "W101", 5),
        (rules(("class == 'crack' && count < 2", "pass")), "W101", 9),
        (HEAD.replace("{unsure", "{late: pass, unsure"), "W102", 7),
        (HEAD.replace("{below: 0.5}", "{below: 0.5, action: pass}"), "W102", 7),
        (HEAD.replace("{unsure: {below: 0.5}}", "{}"), "W103", 7),
        (HEAD + "auto_pass: certified\n", "W104", 6),
        (HEAD + CERTIFICATE, "W105", 8),
        (rules(("class == 'crack'", "hold")), "W201", 5),
        (rules(("class != 'dust'", "hold")), "W201", 5),
        (rules(("count > 3 && count < 2", "hold")), "W202", 9),
        (rules(("class == 'dust' && class == 'crack'", "hold")), "W202", 9),
        (rules(("class == 'crack' && confidence < 0.4", "hold")), "W202", 9),
        (rules(("count > 2", "hold"), ("count > 3", "scrap")), "W203", 10),
        (rules(("count > 2 || class == 'dust'", "hold"), (DUSTY, "scrap")), "W203", 10),
        (rules(("count > 2", "hold"), ("area_mm2 > 3", "scrap")), "W204", 10),
        (HEAD + "zones: [{name: rim, polygon: [[0, 0], [1, 0], [1, 1]]}]\n", "W205", 8),
        (HEAD + "shifts: {night: {start: '22:00', end: '06:00'}}\n", "W205", 8),
        (rules(("area_mm2 > 2", "hold")).replace("default:", "S1:"), "W301", 2),
        (HEAD.replace(", description: a line", ""), "W302", 5),
        (HEAD.replace("normal: {description: grey}\n", ""), "W302", 1),
        (HEAD + "title: RAL #7035\n", "W303", 8),
        (HEAD + "silence: [{code: W101, reason: nothing of it}]\n", "W901", 8),
    ],
)  # fmt: skip
def test_a_lint_is_found_at_its_line(tmp_path: Path, text: str, code: str, line: int) -> None:
    found = lints(tmp_path, text)
    assert (code, line) in [(c, n) for c, n, _ in found], found


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        rules((CRACKED, "hold"), ("class == 'crack' && count > 2", "rework")),
        rules((CRACKED, "hold"), (DUSTY, "scrap")),
        rules(("count > 3", "hold"), ("count <= 3 && class == 'dust'", "rework")),
        rules(("class == 'unknown' && confidence < 0.4", "scrap")),
        rules(("class == 'dust' && count < 9", "pass")),
    ],
)  # fmt: skip
def test_what_is_meant_is_not_warned_of(tmp_path: Path, text: str) -> None:
    assert lints(tmp_path, text) == []


def test_every_code_is_tested() -> None:
    cases = test_a_lint_is_found_at_its_line.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {case[1] for case in cases} == set(LINTS)


def test_a_silenced_lint_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    text = HEAD.replace("action: scrap", "action: pass")
    path.write_text(
        text + "silence: [{code: W101, at: classes.crack, reason: reworked downstream anyway}]\n"
    )
    report = check_file(path)
    assert report.warnings == ()
    assert [p.code for p in report.silenced] == ["W101"]


def test_silence_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + "silence: [{code: W101}]\n")
    assert [p.code for p in check_file(path).errors] == ["E202"]


def test_the_shipped_policies_have_nothing_to_warn_of() -> None:
    for path in sorted(Path("policies/products").glob("*.yaml")):
        report = check_file(path)
        assert (report.errors, report.warnings) == ((), ()), path
        first = path.read_text().splitlines()[0]
        assert first == "# yaml-language-server: $schema=../schema.json"
