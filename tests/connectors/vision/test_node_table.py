"""The table of OPC 40100-1 against the OPC Foundation's own node set, where that is at hand."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from connectors.vision.node_table import NAMESPACE, NodeRow, all_fields, node_set_xml, nodes

SCHEMA = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"
TYPES = "{http://opcfoundation.org/UA/2008/02/Types.xsd}"
RULES = {"M": "i=78", "O": "i=80"}
Set = dict[str, ET.Element]


def parsed(root: ET.Element) -> Set:
    return {e.attrib["NodeId"]: e for e in root if "NodeId" in e.attrib}


@pytest.fixture(scope="module")
def standard(shared: Path) -> tuple[Set, dict[str, str]]:
    """The standard's nodes and its aliases."""
    file = shared / "opcua" / "Opc.Ua.MachineVision.NodeSet2.xml"
    if not file.is_file():
        pytest.skip(f"no node set of OPC 40100-1 at {file}")
    root = ET.parse(file).getroot()
    aliases = {a.attrib["Alias"]: a.text or "" for a in root.iter(f"{SCHEMA}Alias")}
    return parsed(root), aliases


def own_id(number: str) -> str:
    return number if number.startswith("i=") else f"ns=1;i={number}"


def references(nodes_of: Set, number: str) -> set[tuple[str, str]]:
    """Every reference of a node forward, whichever end of it says so."""
    node_id = own_id(number)
    found = set()
    for other, element in nodes_of.items():
        for one in element.iter(f"{SCHEMA}Reference"):
            forward = one.attrib.get("IsForward") != "false"
            source, target = (other, one.text) if forward else (one.text, other)
            if source == node_id and target:
                found.add((one.attrib["ReferenceType"], target))
    return found


@pytest.mark.shared
def test_every_row_is_a_node_of_the_standard(standard: tuple[Set, dict[str, str]]) -> None:
    theirs, aliases = standard
    for row in nodes().values():
        element = theirs[own_id(row.number)]
        assert element.tag == f"{SCHEMA}UA{row.node_class}"
        assert element.attrib["BrowseName"] == row.name
        _compare_type(row, element, aliases)
        _compare_content(row, element, aliases)


def _compare_type(row: NodeRow, element: ET.Element, aliases: dict[str, str]) -> None:
    told = {
        (one.attrib["ReferenceType"], one.text, one.attrib.get("IsForward") != "false")
        for one in element.iter(f"{SCHEMA}Reference")
    }
    if row.parent and row.type:
        assert ("HasTypeDefinition", own_id(row.type), True) in told
    if not row.parent:
        assert ("HasSubtype", own_id(row.type), False) in told
    rules = {target for kind, target, _ in told if kind == "HasModellingRule"}
    assert rules == ({RULES[row.rule]} if row.rule else set())
    if row.node_class == "Variable":
        kind = element.attrib.get("DataType", "i=24")
        assert aliases.get(kind, kind) == own_id(row.value_type)
        assert element.attrib.get("ValueRank", "-1") == (row.rank or "-1")


def _compare_content(row: NodeRow, element: ET.Element, aliases: dict[str, str]) -> None:
    arguments = [
        (
            one.findtext(f"{TYPES}Name"),
            one.findtext(f".//{TYPES}Identifier"),
            one.findtext(f"{TYPES}ValueRank"),
        )
        for one in element.iter(f"{TYPES}Argument")
    ]
    own = [(a.name, own_id(a.data_type), "1" if a.is_array else "-1") for a in row.arguments]
    assert own == arguments
    if "value" in row.more:
        assert element.findtext(f"{SCHEMA}Value/{TYPES}UInt32") == row.more["value"]
    fields = list(element.iter(f"{SCHEMA}Field"))
    if row.type == "i=29":
        told = ",".join(f"{f.attrib['Name']}={f.attrib['Value']}" for f in fields)
        assert told == row.more["fields"]
    elif row.node_class == "DataType":
        assert [(f.name, own_id(f.data_type), f.is_array, f.is_optional) for f in row.fields] == [
            (
                f.attrib["Name"],
                aliases.get(kind := f.attrib.get("DataType", "i=24"), kind),
                f.attrib.get("ValueRank") == "1",
                f.attrib.get("IsOptional") == "true",
            )
            for f in fields
        ]


@pytest.mark.shared
def test_every_reference_within_the_table_is_the_standards(
    standard: tuple[Set, dict[str, str]],
) -> None:
    theirs, _ = standard
    ours = parsed(ET.fromstring(node_set_xml()))
    numbers = {
        "i=45": "HasSubtype",
        "i=47": "HasComponent",
        "i=46": "HasProperty",
        "i=38": "HasEncoding",
        "i=51": "FromState",
        "i=52": "ToState",
        "i=53": "HasCause",
        "i=54": "HasEffect",
        "ns=1;i=4002": "FromTransition",
        "ns=1;i=4003": "ToTransition",
    }
    table = {own_id(number) for number in nodes()}
    told = set(numbers.values())
    for number in nodes():
        own = {(numbers[k], t) for k, t in references(ours, number) if k in numbers and t in table}
        real = {(k, t) for k, t in references(theirs, number) if k in told and t in table}
        assert own == real, number


@pytest.mark.shared
def test_no_mandatory_child_of_a_type_is_left_out(standard: tuple[Set, dict[str, str]]) -> None:
    theirs, _ = standard
    table = {own_id(number) for number in nodes()}
    mandatory = {
        node_id
        for node_id, element in theirs.items()
        for one in element.iter(f"{SCHEMA}Reference")
        if (one.attrib["ReferenceType"], one.text) == ("HasModellingRule", "i=78")
    }
    for row in nodes().values():
        if row.node_class == "ObjectType":
            children = {t for k, t in references(theirs, row.number) if k.startswith("Has")}
            assert children & mandatory <= table, row.name


def test_a_mandatory_child_of_a_type_of_ours_is_not_left_out() -> None:
    """What a client may count on below the vision system, by the standard's tables."""
    below = {row.plain_name for row in nodes().values() if row.rule == "M" and row.parent}
    assert below >= {"VisionStateMachine", "StartSingleJob", "StartContinuous", "Stop", "Abort"}
    assert below >= {"PrepareRecipe", "UnprepareRecipe", "GetRecipeListFiltered"}
    assert below >= {"GetResultById", "GetResultComponentsById", "GetResultListFiltered"}
    assert below >= {"ActivateConfiguration", "GetConfigurationById", "GetConfigurationList"}


def test_a_structure_has_the_fields_of_its_supertypes() -> None:
    names = [field.name for field in all_fields(nodes()["3013"])]
    assert names == ["Id", "Version", "Hash", "HashAlgorithm", "Description"]


def test_the_node_set_names_the_standards_namespace() -> None:
    root = ET.fromstring(node_set_xml())
    assert root.findtext(f"{SCHEMA}NamespaceUris/{SCHEMA}Uri") == NAMESPACE
    assert len(parsed(root)) == len(nodes())
