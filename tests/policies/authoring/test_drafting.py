"""A drafted policy is one that the validator passes, whatever the plant calls things."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.authoring.drafting import ClassMeaning, draft_policy
from policies.authoring.loading import check_file, load_policy
from streams.codes import Action, Severity
from streams.names import fault_of, normal_form

NAMES = st.text(max_size=30).map(lambda t: normal_form(f"a{t}")).filter(lambda n: not fault_of(n))
MEANINGS = st.builds(
    ClassMeaning,
    st.sampled_from([Severity.DEFECT, Severity.NEGLIGIBLE]),
    st.sampled_from(list(Action)),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=60),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, st.lists(st.tuples(NAMES, MEANINGS), max_size=4))
def test_any_names_make_a_policy(
    tmp_path: Path, product: str, named: list[tuple[str, ClassMeaning]]
) -> None:
    classes = {f"{number}{name}": meant for number, (name, meant) in enumerate(named)}
    place = tmp_path / "policy.yaml"
    place.write_text(draft_policy(product, classes), "utf-8")
    report = check_file(place)
    assert not report.errors
    assert report.policy is not None
    assert report.policy.product_id == product
    assert set(report.policy.document.classes) == set(classes)


def test_classes_mean_what_was_said_and_the_rest_is_held(tmp_path: Path) -> None:
    place = tmp_path / "policy.yaml"
    meant = {"crack": ClassMeaning(Severity.DEFECT, Action.SCRAP, "thin\nand dark")}
    place.write_text(draft_policy("tile", meant), "utf-8")
    document = load_policy(place).document
    assert document.classes["crack"].action is Action.SCRAP
    assert document.classes["crack"].description == "thin and dark"
    assert {document.fallbacks.unknown, document.fallbacks.late} == {Action.HOLD}
    assert document.egress == "none"
