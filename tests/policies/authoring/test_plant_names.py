"""Products and classes as plants write them, and scalars that YAML reads as something else."""

import json
from pathlib import Path

import pytest

from policies.authoring.loading import Report, check_file
from policies.evaluate import ResolvedPolicy
from prompts.names import fold
from prompts.render import render
from streams.codes import Action
from streams.events import Classification
from streams.ports import Situation

NAMES = (
    *(
        "lötfehler",
        "AB/12",
        "6ES7 155-6AU01-0BN0",
        "日本",
        "部品 A",
        "..",
        ".",
        "CON",
        "nul",
        "x" * 200,
    ),
    *(
        "a\\b",
        "O'Ring",
        'Rohr 3/4"',
        "[red]",
        "[/7]",
        "=1+1",
        "+A",
        "@a",
        "-a",
        "#4",
        "a: b",
        "100 %",
    ),
    *(
        "007",
        "1e3",
        "0x1F",
        "on",
        "1_000",
        "12:30",
        "2024-01-02",
        "null",
        "~",
        "true",
        ".inf",
        "é",
        "🕳",
    ),
    *(
        "{a}",
        "*a",
        "&a",
        "!a",
        "a # b",
        "?",
        "<b>",
        "Kratzer.",
        "%TEMP%",
        "$HOME",
        "деталь",
        "قطعة",
    ),
)
POLICY = """\
policy: 1
product: {product}
normal: {{description: Even.}}
classes:
  {name}: {{severity: defect, action: scrap, description: a line}}
rules:
  - {{name: r, when: {when}, action: rework}}
fallbacks:
  unsure: {{below: 0.6, action: hold}}
"""


def quoted(text: str) -> str:
    """The text in single quotes, as YAML takes every text."""
    return "'" + text.replace("'", "''") + "'"


def checked(folder: Path, product: str = "tile", name: str = "crack", below: str = "0.6") -> Report:
    """The report of a policy that has these texts where YAML expects them."""
    text = POLICY.format(product=product, name=name, when="count > 1")
    path = folder / "policy.yaml"
    path.write_text(text.replace("below: 0.6", f"below: {below}"), "utf-8")
    return check_file(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_product_and_a_class_are_any_text(tmp_path: Path, name: str) -> None:
    literal = name.replace("\\", "\\\\").replace("'", "\\'")
    path = tmp_path / "policy.yaml"
    when = quoted(f"class == '{literal}'")
    if not fold(name):
        path.write_text(POLICY.format(product="tile", name=quoted(name), when="count > 1"), "utf-8")
        assert [error.code for error in check_file(path).errors] == ["E313"]
        return
    path.write_text(POLICY.format(product=quoted(name), name=quoted(name), when=when), "utf-8")
    report = check_file(path)
    assert report.policy is not None, report.errors
    again = ResolvedPolicy.from_body(dict(report.policy.body), report.policy.policy_hash)
    assert again.product_id == name
    asked = render(again.texts("")).text
    assert json.dumps(name, ensure_ascii=False) in asked
    answer = Classification(class_name=name, confidence=0.9, classifier="example")
    assert again.decide(Situation(classification=answer)).action is Action.REWORK


@pytest.mark.parametrize(
    ("name", "said", "meant"),
    [
        ("'tile '", "blanks around it", "'tile'"),
        ("' tile'", "blanks around it", "'tile'"),
        ("tile\u00a0", "NO-BREAK SPACE", "'tile'"),
        ("a\u00a0b", "NO-BREAK SPACE", "'a b'"),
        ("a\u3000b", "IDEOGRAPHIC SPACE", "'a b'"),
        ("til\u200be", "ZERO WIDTH SPACE", "'tile'"),
        ("ti\u00adle", "SOFT HYPHEN", "'tile'"),
        ("\u202eelit", "RIGHT-TO-LEFT OVERRIDE", "'elit'"),
        ("“tile”", "typographic quotes", "'tile'"),
        ("„tile“", "typographic quotes", "'tile'"),
        ('"a\\u0308"', "not composed", "'ä'"),
        ("x" * 201, "longer than 200", ""),
        ("''", "is empty", ""),
        ('"\\tA"', "nobody sees", ""),
    ],
)
def test_a_name_that_looks_like_another_is_refused(
    tmp_path: Path, name: str, said: str, meant: str
) -> None:
    for report in (checked(tmp_path, product=name), checked(tmp_path, name=name)):
        (error, *_) = report.errors
        assert said in error.reason
        assert meant in error.fix


def test_a_name_in_parts_of_letters_is_the_composed_one(tmp_path: Path) -> None:
    report = checked(tmp_path, product="Tu\u0308r", name="lo\u0308tfehler")
    assert report.policy is not None
    assert report.policy.product_id == "Tür"
    assert list(report.policy.document.classes) == ["lötfehler"]


@pytest.mark.parametrize("alike", ["Crack", "CRACK", "crack.", "crack ", "ｃrack", "crack  "])
def test_classes_that_a_classifier_cannot_tell_apart_are_refused(
    tmp_path: Path, alike: str
) -> None:
    both = f"crack: {{severity: defect, action: hold}}\n  {quoted(alike)}"
    assert "E307" in {error.code for error in checked(tmp_path, name=both).errors}


@pytest.mark.parametrize("alike", ["cr\u0430ck", "\u0421RACK", "crac\u03ba"])
def test_classes_that_nobody_can_tell_apart_are_refused(tmp_path: Path, alike: str) -> None:
    both = f"crack: {{severity: defect, action: hold}}\n  {quoted(alike)}"
    (error,) = checked(tmp_path, name=both).errors
    assert error.code == "E307"
    assert "look alike" in error.reason
    assert "SMALL LETTER" in error.fix or "CAPITAL LETTER" in error.fix


def test_a_class_that_looks_like_an_answer_of_its_own_is_refused(tmp_path: Path) -> None:
    (error,) = checked(tmp_path, name=quoted("n\u043ermal")).errors
    assert error.code == "E307"


@pytest.mark.parametrize("name", ["трещина", "ρωγμή", "ΔE", "α-Riss", "царапина и скол"])
def test_names_in_letters_of_their_own_are_names(tmp_path: Path, name: str) -> None:
    assert not checked(tmp_path, name=quoted(name)).errors


@pytest.mark.parametrize("name", ["normal", "Normal", "NORMAL.", "unknown", "Unknown"])
def test_the_answers_of_every_classifier_are_no_classes(tmp_path: Path, name: str) -> None:
    assert "E308" in {error.code for error in checked(tmp_path, name=quoted(name)).errors}


NUMBERS = ("007", "4711", "1e3", "-5", "+5", "1.0", ".5", "0010", "1E-2", "12.50", "00", "-0")
WORDS = ("true", "false", "null", "~")
TEXTS = (
    "0x1F",
    "0o17",
    "on",
    "no",
    "y",
    "Yes",
    "1_000",
    "12:30",
    "2024-01-02",
    "1.2.3",
    "6ES7",
    ".inf",
)


@pytest.mark.parametrize("written", [*NUMBERS, *WORDS])
@pytest.mark.parametrize("key", ["product", "title"])
def test_the_hint_quotes_what_stands_in_the_file(tmp_path: Path, key: str, written: str) -> None:
    path = tmp_path / "policy.yaml"
    other = "product: tile\n" if key != "product" else ""
    path.write_text(f"policy: 1\n{other}{key}: {written}\n")
    (error,) = check_file(path).errors
    assert error.fix == f"write '{written}'"
    path.write_text(f"policy: 1\n{other}{key}: '{written}'\n")
    mended = check_file(path).policy
    assert mended is not None
    assert getattr(mended.document, key) == written


@pytest.mark.parametrize("written", TEXTS)
def test_what_yaml_1_2_reads_as_text_is_the_product(tmp_path: Path, written: str) -> None:
    report = checked(tmp_path, product=written)
    assert report.policy is not None
    assert report.policy.product_id == written


@pytest.mark.parametrize("written", [*NUMBERS, *WORDS, *TEXTS])
def test_a_key_is_the_text_that_stands_in_the_file(tmp_path: Path, written: str) -> None:
    report = checked(tmp_path, name=written)
    assert report.policy is not None
    assert list(report.policy.document.classes) == [written]


@pytest.mark.parametrize("number", ["0,6", "0,05", "1,0", "00,5", "0,999", "0,60", "1,5", "0,0"])
@pytest.mark.parametrize("form", ["unsure: {below: N, action: hold}", "unsure: {below: N}"])
def test_a_decimal_comma_between_brackets_is_understood(
    tmp_path: Path, number: str, form: str
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"policy: 1\nproduct: tile\nfallbacks: {{{form.replace('N', number)}}}\n")
    assert f"write {number.replace(',', '.')}" in [error.fix for error in check_file(path).errors]


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("mm_per_px: {default: 0,05}", "write 0.05"),
        ("prices: {rework: 1,20, scrap: 3}", "write 1.20"),
        ("prices: {scrap: 3, rework: 1,20}", "write 1.20"),
        ("takt_s: 0,8", "write 0.8"),
        ("takt_s: 1_000", "write 1000"),
        ("takt_s: 500 ms", "write 500"),
        ("audit_share: 5%", "write 0.05"),
        ("audit_share: 2,5 %", "write 0.025"),
        ("limits: {a: {more_than: 3, in_parts: 1,000}}", "write 1.000"),
    ],
)
def test_numbers_as_people_write_them_get_a_hint(tmp_path: Path, line: str, fix: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"policy: 1\nproduct: tile\n{line}\n")
    assert fix in [error.fix for error in check_file(path).errors]


def test_the_field_cases_are_as_they_should_be(shared: Path) -> None:
    folder = shared / "cases" / "policies"
    found = {path.name: check_file(path) for path in sorted(folder.iterdir())}
    products = {name: r.policy.product_id for name, r in found.items() if r.policy is not None}
    assert products["product_with_slash.yaml"] == "AB/12"
    assert products["product_with_space_umlaut.yaml"] == "Türgriff 12"
    assert {"umlaut_class.yaml", "umlaut_nfd_class_and_rule.yaml"} <= set(products)
    fixes = {name: [error.fix for error in report.errors] for name, report in found.items()}
    assert "write '007'" in fixes["product_number_007.yaml"]
    assert "write 0.6" in fixes["decimal_comma.yaml"]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("product: AB #12", "AB"),
        ("product: tile\ntitle: RAL #7035", "RAL"),
        ("product: tile\ntitle: Teil  #A   ", "Teil"),
        ("product: tile\nnormal:\n  description: as RAL #7035 says", "as RAL"),
    ],
)
def test_a_text_that_a_comment_cuts_is_said(tmp_path: Path, line: str, read: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"policy: 1\n{line}\n")
    (cut,) = [w for w in check_file(path).warnings if w.code == "W303"]
    assert f"{read!r} is all that is read" in cut.reason


@pytest.mark.parametrize(
    "line",
    [
        "product: tile # 12",
        "product: AB#12",
        "product: 'AB #12'",
        "product: tile  ## mine",
        "product: tile\n#takt_s: 1.2",
    ],
)
def test_what_is_meant_as_a_comment_is_not_said(tmp_path: Path, line: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"policy: 1\n{line}\n")
    assert "W303" not in {warning.code for warning in check_file(path).warnings}
