"""Names as plants write them: their normal form, their faults and their keys."""

from hypothesis import given
from hypothesis import strategies as st

from streams.names import LONGEST, fault_of, is_derived, key_of, mended, normal_form

TEXT = st.text(max_size=300)
PLANT = st.sampled_from(
    [
        *(
            "textile",
            "AB12",
            "lötfehler",
            "AB/12",
            "日本",
            "..",
            ".",
            "CON",
            "nul.txt",
            "com1",
            "a.",
        ),
        *("a\\b", "a:b", "a*", "=1", "-a", "~", "%41", "A", "a", "latest.json", "LPT1.", "clock$"),
    ]
)
ODD = st.sampled_from(["6ES7 155-6AU01-0BN0", "AB/12 ö", "", " a", "a ", "x" * 200])
TAKEN = st.sampled_from(["ab-12-o--db51c3d6e6300ad0", "AB-12-O--DB51C3D6E6300AD0"])
NAME = st.one_of(PLANT, ODD, TAKEN, TEXT)


@given(NAME, NAME)
def test_names_that_are_not_plain_share_no_key(first: str, second: str) -> None:
    keys = [key_of(first), key_of(second)]
    if first != second and any(is_derived(key) for key in keys):
        assert keys[0].casefold() != keys[1].casefold()


@given(NAME)
def test_a_key_is_one_segment_that_every_file_system_takes(name: str) -> None:
    key = key_of(name)
    assert 0 < len(key) <= 64
    assert key.isascii()
    assert not set(key) & set('<>:"/\\|?*\0 ')
    assert key[0] not in ".-~"
    assert key[-1] != "."
    assert key.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}
    assert key_of(key) == key or is_derived(key)


@given(TEXT)
def test_the_normal_form_is_one_and_what_is_mended_has_no_fault(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)
    assert not mended(text) or fault_of(mended(text)) == "", mended(text)


@given(
    st.sampled_from(["textile", "AB/12 ö", "日本"]), st.text(alphabet=" \x00\u00a0", max_size=90)
)
def test_what_a_controller_pads_with_is_no_part_of_the_name(name: str, padding: str) -> None:
    assert normal_form(name + padding) == name
    assert fault_of(name) == ""


def test_the_longest_name() -> None:
    assert fault_of("x" * LONGEST) == ""
    assert "longer" in fault_of("x" * (LONGEST + 1))
