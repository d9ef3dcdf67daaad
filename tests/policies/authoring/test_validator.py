"""Broken policies: every error names its line and what to do; none is large."""

import resource
from pathlib import Path

import pytest
from ruamel.yaml.events import Event

from policies.authoring import yaml_tree
from policies.authoring.loading import check_file, check_text, load_policy
from policies.errors import InvalidPolicyError

GOOD = """\
policy: 1
product: tile
mm_per_px: {default: 0.1}
normal: {description: grey}
classes:
  crack: {severity: defect, action: scrap, description: a line}
  uneven: {severity: negligible, action: pass, description: a stripe}
zones:
  - name: rim
    polygon: [[0, 0], [1, 0], [1, 0.2], [0, 0.2]]
rules:
  - name: long_crack
    when: class == 'crack' && longest_mm > 3 && zone == 'rim'
    action: hold
fallbacks:
  unsure: {below: 0.5, action: hold}
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


CERTIFICATE = (
    f"certificate: {{escape: 0.05, confidence: 0.95, issued: '2026-01-31', decides: '{'0' * 64}', "
    "expert_version: e, classifier: c, classes: {dent: {}}}\n"
)
WHEN = "class == 'crack' && longest_mm > 3 && zone == 'rim'"
NESTED = "normal: {description: " + "[" * 12 + "]" * 12 + "}"
BOMB = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 11))

# (what is broken, the file, line of the error, code, a piece of the reason, a piece of the fix)
BROKEN: list[tuple[str, str, int, str, str, str]] = [
    ("typo in a key", changed("fallbacks:", "falbacks:"), 15, "E201", "falbacks", "'fallbacks'"),
    ("typo in a class key", changed("action: scrap", "acton: scrap"), 6, "E201", "acton", "action"),
    ("typo in an action", changed("action: scrap", "action: scarp"), 6, "E203", "scarp", "'scrap'"),
    ("typo in a severity", changed("negligible", "negligable"), 7, "E203", "negligable", "neglig"),
    ("missing severity", changed("severity: defect, ", ""), 6, "E202", "'severity'", "defect"),
    ("missing product", changed("product: tile\n", ""), 1, "E202", "'product'", "product"),
    ("missing when", changed(f"    when: {WHEN}\n", ""), 12, "E202", "'when'", "when"),
    ("text for a number", changed("below: 0.5", "below: half"), 16, "E203", "number", ""),
    ("unit in a number", changed("default: 0.1", "default: 0.1 mm"), 3, "E203", "0.1 mm", "0.1"),
    ("decimal comma", changed("default: 0.1", "default: '0,1'"), 3, "E203", "0,1", "0.1"),
    ("percent for a share", changed("below: 0.5", "below: 50"), 16, "E203", "at most 1", "0.5"),
    ("negative scale", changed("default: 0.1", "default: -1"), 3, "E203", "more than 0", ""),
    ("scale without station", changed("{default: 0.1}", "0.1"), 3, "E203", "mapping", "default"),
    ("number for text", changed("description: grey", "description: 7"), 4, "E203", "text", "'7'"),
    ("wrong language version", changed("policy: 1", "policy: 2"), 1, "E203", "2", "1"),
    ("class unknown to a rule", changed("'crack' &&", "'crak' &&"), 13, "E301", "crak", "'crack'"),
    ("zone unknown to a rule", changed("'rim'\n", "'rin'\n"), 13, "E301", "rin", "'rim'"),
    ("unknown variable", changed("longest_mm > 3", "length > 3"), 13, "E301", "length", ""),
    ("single equals sign", changed("class ==", "class ="), 13, "E301", "'='", "'=='"),
    ("words for operators", changed("&& zone", "and zone"), 13, "E301", "'and'", "'&&'"),
    ("unit in a condition", changed("> 3", "> 3 mm"), 13, "E301", "'mm'", "without its unit"),
    ("area against length", changed("> 3", "> area_mm2"), 13, "E301", "mm", "one unit"),
    ("number against text", changed("> 3", "> '3'"), 13, "E301", "text", "quotes"),
    ("function", changed(WHEN, "size(lot) > 3"), 13, "E301", "size", "startsWith"),
    ("loop", changed(WHEN, "lot.all(x, x > 0)"), 13, "E301", "'.all'", "startsWith"),
    ("unfinished condition", changed(" > 3 &&", " > &&"), 13, "E301", "missing", ""),
    ("open quote", changed("'rim'\n", "'rim\n"), 13, "E301", "quoted text", "close it"),
    ("millimetres, no scale", changed("mm_per_px: {default: 0.1}\n", ""), 12, "E305", "sc", "px"),
    (
        "rule named twice",
        GOOD.replace(
            "fallbacks:", "  - {name: long_crack, when: 'count > 1', action: hold}\nfallbacks:"
        ),
        15,
        "E306",
        "long_crack",
        "own",
    ),
    ("reserved class", changed("  uneven:", "  unknown:"), 7, "E308", "unknown", "fallbacks"),
    (
        "class number twice",
        changed("crack: {", "crack: {id: 1, ").replace("uneven: {", "uneven: {id: 1, "),
        7,
        "E307",
        "number 1",
        "own",
    ),
    ("zone outside the image", changed("[1, 0.2]", "[100, 20]"), 10, "E309", "outside", "px"),
    ("zone without area", changed("[1, 0.2], [0, 0.2]", "[0.5, 0]"), 10, "E309", "area", "order"),
    ("zone of two corners", changed("[1, 0], [1, 0.2], [0, 0.2]", "[1, 0]"), 10, "E203", "3", ""),
    (
        "impossible limit",
        GOOD + "limits:\n  l: {more_than: 50, in_parts: 50}\n",
        18,
        "E311",
        "never",
        "",
    ),
    (
        "limit of an unknown class",
        GOOD + "limits:\n  l: {more_than: 1, in_parts: 5, classes: [dent]}\n",
        18,
        "E303",
        "dent",
        "",
    ),
    (
        "certified passing with an unsure fallback that passes",
        changed("below: 0.5, action: hold", "below: 0.5, action: pass") + "auto_pass: certified\n",
        16,
        "E312",
        "lets parts pass",
        "hold",
    ),
    (
        "certified passing with a rule over shots that passes",
        GOOD + "auto_pass: certified\nshots: {rules: [{name: r, when: 'true', action: pass}]}\n",
        18,
        "E312",
        "'r'",
        "shots",
    ),
    (
        "certificate of an unknown class",
        GOOD + CERTIFICATE,
        17,
        "E303",
        "dent",
        "again",
    ),
    ("unknown timezone", GOOD + "timezone: Mars/Base\n", 17, "E310", "Mars/Base", "Europe"),
    ("duplicate class", changed("  uneven:", "  crack:"), 7, "E105", "line 6", "keep one"),
    ("duplicate section", GOOD + "rules: []\n", 17, "E105", "line 11", "keep one"),
    ("a tab after a colon", changed("product: ", "product:\t"), 2, "E104", "tab", "blank"),
    ("indented with a tab", changed("    when:", "\twhen:"), 13, "E104", "tab", "blanks"),
    ("open bracket", changed("{default: 0.1}", "{default: 0.1"), 4, "E103", "YAML", "bracket"),
    ("alias bomb", GOOD + "x0: &x0 [a]\n" + BOMB + "\n", 17, "E107", "anchor", "extends"),
    (
        "python tag",
        changed("description: grey", "description: !!python/name:os.system x"),
        4,
        "E106",
        "tag",
        "plain",
    ),
    ("nested too deep", changed("normal: {description: grey}", NESTED), 4, "E108", "deep", "flat"),
    ("nested without end", "a: " + "[" * 100_000, 1, "E108", "deep", "blocks"),
    ("two documents", GOOD + "---\nproduct: other\n", 17, "E103", "second", "one policy"),
    ("control character", changed("grey", '"gr\\u0007ey"'), 4, "E203", "not allowed", "control"),
    ("5 MB", GOOD + "#" + "x" * 5_000_000, 1, "E102", "128 KiB", "shorten"),
    ("many small values", "a:\n" + "-\n" * 60_000, 11997, "E102", "12000", "split"),
    ("empty file", "", 1, "E103", "empty", "product"),
    ("a list", "- a\n", 1, "E103", "mapping", "product"),
    ("NUL byte", "product: a\x00b\n", 1, "E103", "YAML", ""),
    ("extends itself", "extends: policy.yaml\n" + GOOD, 1, "E109", "itself", ""),
    ("extends in a circle", "extends: _circle.yaml\n" + GOOD, 1, "E109", "circle", ""),
    ("extends a missing file", "extends: _none.yaml\n" + GOOD, 1, "E109", "_none", "_circle"),
    ("extends outside", "extends: ../../etc/passwd\n" + GOOD, 1, "E109", "same folder", ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "_circle.yaml").write_text("extends: policy.yaml\n")
    return tmp_path


def test_there_are_at_least_forty() -> None:
    assert len(BROKEN) >= 40
    assert len({name for name, *_ in BROKEN}) == len(BROKEN)


def test_the_unbroken_one_has_nothing_wrong(folder: Path) -> None:
    (folder / "policy.yaml").write_text(GOOD)
    report = check_file(folder / "policy.yaml")
    assert (report.errors, report.warnings) == ((), ())


@pytest.mark.parametrize(
    ("text", "line", "code", "reason", "fix"),
    [case[1:] for case in BROKEN],
    ids=[case[0] for case in BROKEN],
)
def test_names_line_and_fix(
    folder: Path, text: str, line: int, code: str, reason: str, fix: str
) -> None:
    path = folder / "policy.yaml"
    path.write_text(text)
    report = check_file(path)
    assert report.policy is None
    found = [p for p in report.errors if p.code == code and reason in p.reason]
    assert found, f"no {code} with {reason!r} among {[str(p) for p in report.errors]}"
    assert found[0].line == line, str(found[0])
    assert found[0].column >= 1
    assert fix in found[0].fix, str(found[0])
    with pytest.raises(InvalidPolicyError, match=r":\d+:\d+: E\d"):
        load_policy(path)


def test_a_file_of_many_values_is_read_no_further_than_the_bound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scanner works a constant amount per value; what counts is how many it is asked for."""
    taken, read = [0], yaml_tree._Reader._next

    def counting(reader: yaml_tree._Reader) -> Event:
        taken[0] += 1
        return read(reader)

    monkeypatch.setattr(yaml_tree._Reader, "_next", counting)
    path = folder / "policy.yaml"
    path.write_text("a:\n" + "-\n" * 60_000)
    assert [p.code for p in check_file(path).errors] == ["E102"]
    assert taken[0] == yaml_tree.MAX_NODES + 1


def test_none_takes_200_megabytes(folder: Path) -> None:
    """Peak memory of the whole test process may not grow by that much over all cases."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (_, text, *_rest) in enumerate(BROKEN):
        path = folder / f"p{number}.yaml"
        path.write_text(text)
        check_file(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_not_utf8(folder: Path) -> None:
    path = folder / "policy.yaml"
    path.write_bytes(GOOD.encode() + b"title: K\xfcbel\n")
    (problem,) = check_file(path).errors
    assert (problem.line, problem.column, problem.code) == (17, 9, "E101")


def test_every_error_at_once(folder: Path) -> None:
    """Faults of form and of meaning, in one file, in one report."""
    text = changed("severity: negligible", "severity: nice").replace("'rim'\n", "'rin'\n")
    path = folder / "policy.yaml"
    path.write_text(text.replace("product: tile", "product: tile\nfoo: 1") + "timezone: Mars\n")
    lines = [(p.line, p.code) for p in check_file(path).errors]
    assert lines == [(3, "E201"), (8, "E203"), (14, "E301"), (18, "E310")]


def test_the_place_is_that_of_the_base_file(folder: Path) -> None:
    (folder / "_base.yaml").write_text("takt_s: fast\nfallbacks:\n  late: hold\n")
    path = folder / "policy.yaml"
    path.write_text("extends: _base.yaml\n" + GOOD)
    (problem,) = check_file(path).errors
    assert (Path(problem.file).name, problem.line) == ("_base.yaml", 1)


def test_extends_merges_key_by_key(folder: Path) -> None:
    (folder / "_base.yaml").write_text(
        "takt_s: 2\nfallbacks: {late: rework, unknown: scrap}\n"
        "classes:\n  dent: {severity: defect, action: hold}\n  crack: {id: 7}\n"
    )
    path = folder / "policy.yaml"
    path.write_text("extends: _base.yaml\n" + GOOD + "  late: null\n")
    document = load_policy(path).document
    assert document.takt_s == 2.0
    assert (document.fallbacks.unknown, document.fallbacks.late) == ("scrap", "hold")
    assert set(document.classes) == {"crack", "uneven", "dent"}
    assert document.classes["crack"].id == 7
    assert document.fallbacks.unsure.below == 0.5


@pytest.mark.parametrize(
    ("written", "line", "said"),
    [
        ("policy: '1'\nproduct: tile\n", 1, "policy '1' is text; write 1 without quotes"),
        ("product: tile\nrules:\n", 2, "must be a list, not nothing; begin each entry with `- `"),
        ("product: tile\nrules: {r: {action: hold}}\n", 2, "not a mapping; begin each entry with"),
        ('product: tile\nstrategy: "a \\ud800 b"\n', 2, "half a character (a lone surrogate)"),
        ('product: tile\nclasses: {"a\\udfff": {severity: defect, action: hold}}\n', 2, "half a"),
    ],
)
def test_slips_are_told_at_their_place_with_what_to_write(
    written: str, line: int, said: str
) -> None:
    problem = check_text(written).errors[0]
    assert problem.line == line
    assert said in str(problem)


def test_a_character_that_json_writes_as_a_pair_is_read() -> None:
    policy = check_text('product: tile\nstrategy: "\\ud83d\\ude00"\n').policy
    assert policy is not None
    assert policy.document.strategy == "\N{GRINNING FACE}"
