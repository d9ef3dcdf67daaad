"""A certificate is written into a policy's text and leaves the rest of it alone."""

from pathlib import Path

from policies.authoring.certificate_block import with_certificate
from policies.authoring.loading import check_file
from policies.certified import deciding_hash
from policies.model import Certificate, CertifiedClass, PolicyDocument

TEXT = """\
product: tile   # as the PLC sends it
normal: {description: grey}
classes:
  blow hole (deep): {severity: negligible, action: pass, description: a pit}
auto_pass: certified
fallbacks: {unsure: {below: 0.5}}
"""
CERTIFICATE = Certificate(
    escape=0.05, confidence=0.95, issued="2026-11-28", decides="0" * 64, expert_version="e",
    classifier="velm", model='a "model"',
    classes={"blow hole (deep)": CertifiedClass(from_confidence=0.25, reviews=60, bound=0.0487)},
)  # fmt: skip


def loaded(tmp_path: Path, text: str) -> PolicyDocument:
    path = tmp_path / "p.yaml"
    path.write_text(text, "utf-8")
    report = check_file(path)
    assert report.policy is not None, report.errors
    return report.policy.document


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    text = with_certificate(TEXT, CERTIFICATE)
    assert text.startswith(TEXT)
    assert loaded(tmp_path, text).certificate == CERTIFICATE


def test_a_certificate_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    first = with_certificate(TEXT, CERTIFICATE) + "# the end\ntakt_s: 2\n"
    without = CERTIFICATE.model_copy(update={"classes": {}, "issued": "2026-12-01"})
    second = with_certificate(first, without)
    assert second.count("certificate:") == 1
    assert "# the end\ntakt_s: 2\n" in second
    document = loaded(tmp_path, second)
    assert (document.certificate, document.takt_s) == (without, 2.0)
    assert with_certificate(second, without) == second


def test_a_certificate_for_this_policy_is_in_force_and_one_for_another_warns(
    tmp_path: Path,
) -> None:
    decides = deciding_hash(loaded(tmp_path, TEXT))
    fitting = CERTIFICATE.model_copy(update={"decides": decides})
    path = tmp_path / "p.yaml"
    for certificate, warned in (
        (fitting, {"normal"}),
        (CERTIFICATE, {"normal", "blow hole (deep)"}),
    ):
        path.write_text(with_certificate(TEXT, certificate), "utf-8")
        found = [p.reason for p in check_file(path).warnings if p.code == "W104"]
        assert {reason.split("'")[1] for reason in found} == warned


def test_a_file_keeps_its_ends_of_lines(tmp_path: Path) -> None:
    """A description may hold what Unicode calls the end of a line, and an editor's CR LF stays."""
    odd = TEXT.replace("grey", "grey\x85or\u2028dark").replace("\n", "\r\n")
    first = with_certificate(odd, CERTIFICATE)
    assert first.startswith(odd)
    assert first.count("\n") == first.count("\r\n")
    assert with_certificate(first, CERTIFICATE) == first
    assert loaded(tmp_path, with_certificate(TEXT, CERTIFICATE)).certificate == CERTIFICATE
