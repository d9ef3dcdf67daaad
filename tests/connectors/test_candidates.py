"""Which variables of a server a signal may be: names, folders, types, rights."""

from asyncua import ua

from connectors.handshake.signals import Signal
from connectors.opcua.candidates import NamedVariable, likely, plain_name, propose
from connectors.signal_map import NodeAddress, read_signal_map

KIND = ua.VariantType
URI = "urn:plc"


def variable(
    name: str,
    folder: str = "/PLC/Andon",
    node: str = "",
    kind: str = "UInt32",
    writable: bool = True,
) -> NamedVariable:
    address = NodeAddress(node or f"{folder[1:].replace('/', '.')}.{name}", URI)
    return NamedVariable(address, folder, name, KIND[kind], writable)


def whole(folder: str = "/PLC/Andon", prefix: str = "") -> list[NamedVariable]:
    return [variable(prefix + s.wire_name, folder, kind=s.data_type) for s in Signal]


def test_signals_of_one_folder_give_a_pattern_that_the_settings_take() -> None:
    found = propose([*whole(), variable("Ready", "/PLC/Robot", kind="Boolean")])
    assert found.pattern == "nsu=urn:plc;s=PLC.Andon.{signal}"
    assert found.follows == set(Signal)
    mapped = read_signal_map(found.pattern, "urn:other", "", {})
    assert {s: one.node for s, one in found.chosen.items()} == mapped.nodes
    assert [str(one.node) for one in found.others[Signal.READY]] == [
        "nsu=urn:plc;s=PLC.Robot.Ready"
    ]


def test_names_with_something_in_front_are_taken_where_the_others_are() -> None:
    rest = [one for one in whole() if plain_name(one.name) != "ready"]
    mine = variable("xReady", kind="Boolean")
    far = variable("CameraReady", "/PLC/Camera", kind="Boolean")
    assert propose([*rest, far]).chosen.get(Signal.READY) is None
    assert [one.node for one in propose([*rest, far]).others[Signal.READY]] == [far.node]
    assert propose([*rest, far, mine]).chosen[Signal.READY].node == mine.node


def test_a_type_that_does_not_fit_or_a_missing_right_is_said() -> None:
    rest = [one for one in whole() if one.name not in ("Score", "ResultSeq", "TriggerSeq")]
    found = propose(
        [
            *rest,
            variable("Score", kind="Int32"),
            variable("ResultSeq", writable=False),
            variable("TriggerSeq", writable=False),
        ]
    )
    assert "is Int32, not one of Float, Double" in found.chosen[Signal.SCORE].problem
    assert "may not write" in found.chosen[Signal.RESULT_SEQ].problem
    assert found.chosen[Signal.TRIGGER_SEQ].problem == ""


def test_of_two_nodes_of_one_name_the_fitting_one_is_taken() -> None:
    rest = [one for one in whole() if one.name != "PartId"]
    number, text = (
        variable("PartId", node="a", kind="Int32"),
        variable("PartId", node="b", kind="String"),
    )
    found = propose([*rest, number, text])
    assert found.chosen[Signal.PART_ID].node == text.node


def test_another_signals_own_node_is_no_guess_and_what_is_not_there_is_not_chosen() -> None:
    found = propose([one for one in whole() if one.name != "TriggerSeq"])
    assert Signal.TRIGGER_SEQ not in found.chosen
    assert found.others[Signal.TRIGGER_SEQ] == ()
    near = propose([*whole()[:6], variable("TriggerSequence")])
    assert [one.kind for one in near.others[Signal.TRIGGER_SEQ]] == ["UInt32"]


def test_numbers_give_no_pattern() -> None:
    numbered = [
        NamedVariable(NodeAddress(1000 + n, URI), "/Andon", s.wire_name, KIND[s.data_type])
        for n, s in enumerate(Signal)
    ]
    found = propose(numbered)
    assert (found.pattern, len(found.chosen)) == ("", len(Signal))


def test_only_likely_names_are_looked_at_again() -> None:
    names = ["TriggerSeq", "Temperature", "Motor1_Speed", '"DB"."Result_Seq"']
    assert [one.name for one in likely(map(variable, names))] == [names[0], names[3]]
    assert propose([]).chosen == {}
