"""The types of OPC 40100-1 that this server has, read from ``machine_vision.tsv``.

The table holds what identifies them: numbers, names, types and references of the namespace
``http://opcfoundation.org/UA/MachineVision``, version 1.0.0. It is a subset: what is optional and
not offered here is left out. Numbers alone are of that namespace, ``i=`` of OPC UA's own.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final
from xml.sax.saxutils import quoteattr

NAMESPACE: Final = "http://opcfoundation.org/UA/MachineVision"
_SCHEMA: Final = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
_TYPES: Final = "http://opcfoundation.org/UA/2008/02/Types.xsd"
_BASE_TYPES: Final = {
    "HasSubtype": "i=45",
    "HasComponent": "i=47",
    "HasProperty": "i=46",
    "HasEncoding": "i=38",
    "HasTypeDefinition": "i=40",
    "HasModellingRule": "i=37",
    "FromState": "i=51",
    "ToState": "i=52",
    "HasCause": "i=53",
    "HasEffect": "i=54",
    "FromTransition": "ns=1;i=4002",
    "ToTransition": "ns=1;i=4003",
}
_RULES: Final = {"M": "i=78", "O": "i=80"}
_ENUMERATION: Final = "i=29"


@dataclass(frozen=True)
class Typed:
    """A field of a structure, or an argument of a method."""

    name: str
    data_type: str
    is_array: bool = False
    is_optional: bool = False


@dataclass(frozen=True)
class NodeRow:
    """One node of the namespace."""

    number: str
    node_class: str
    name: str
    """With its namespace: ``1:Ready`` is of this one, ``InputArguments`` of OPC UA's."""
    reference: str
    """How the parent, or the supertype, refers to it."""
    parent: str
    type: str
    """Its type definition, or the supertype of a type."""
    rule: str
    """``M`` mandatory, ``O`` optional, or nothing."""
    value_type: str
    rank: str
    more: Mapping[str, str]

    @property
    def plain_name(self) -> str:
        """The name without its namespace."""
        return self.name.removeprefix("1:")

    @property
    def arguments(self) -> list[Typed]:
        """Of a property with a method's arguments."""
        return _typed(self.more.get("arguments", ""))

    @property
    def fields(self) -> list[Typed]:
        """Of a structure's data type; those of an enumeration have numbers instead of types."""
        return _typed(self.more.get("fields", ""))


@cache
def nodes() -> Mapping[str, NodeRow]:
    """Every node by its number, a parent before its children."""
    text = (files("connectors.vision") / "machine_vision.tsv").read_text("utf-8")
    found = {}
    for line in csv.reader(text.splitlines()[1:], "excel-tab"):
        number, kind, name, reference, parent, type_, rule, value_type, rank, more = (
            *line,
            *[""] * (10 - len(line)),
        )
        pairs = dict(one.split("=", 1) for one in more.split(";") if one)
        found[number] = NodeRow(
            number, kind, name, reference, parent, type_, rule, value_type, rank, pairs
        )
    return found


def children(number: str) -> list[NodeRow]:
    """The nodes below one."""
    return [row for row in nodes().values() if row.parent == number]


def child(number: str, name: str) -> NodeRow:
    """The node of a name below one."""
    return next(row for row in children(number) if row.plain_name == name)


def number_of(name: str) -> str:
    """The number of a type, by its name.

    >>> number_of("VisionSystemType")
    '1003'
    """
    return next(row.number for row in nodes().values() if not row.parent and row.plain_name == name)


def all_fields(row: NodeRow) -> list[Typed]:
    """A structure's fields, those of its supertypes first.

    >>> [field.name for field in all_fields(nodes()["3002"])][:2]
    ['Id', 'Version']
    """
    base = nodes().get(row.type)
    return [*(all_fields(base) if base else []), *row.fields]


def node_set_xml() -> str:
    """The table as an OPC UA node set, for the address space of a server."""
    own = "".join(_node(row) for row in nodes().values())
    return (
        f'<UANodeSet xmlns="{_SCHEMA}" xmlns:t="{_TYPES}">'
        f"<NamespaceUris><Uri>{NAMESPACE}</Uri></NamespaceUris>"
        f'<Models><Model ModelUri="{NAMESPACE}" Version="1.0.0" '
        'PublicationDate="2019-07-11T10:18:27Z">'
        '<RequiredModel ModelUri="http://opcfoundation.org/UA/" Version="1.04" '
        'PublicationDate="2018-05-15T00:00:00Z"/></Model></Models>'
        f"<Aliases/>{own}</UANodeSet>"
    )


def _typed(text: str) -> list[Typed]:
    found = []
    for one in filter(None, text.split(",")):
        name, _, kind = one.partition(":")
        plain = kind.removesuffix("[]")
        found.append(Typed(name.removesuffix("?"), plain, plain != kind, name.endswith("?")))
    return found


def _id(number: str) -> str:
    return number if number.startswith("i=") else f"ns=1;i={number}"


def _node(row: NodeRow) -> str:
    attributes = {"NodeId": _id(row.number), "BrowseName": row.name}
    if row.node_class == "Variable":
        attributes |= {"DataType": _id(row.value_type), "ValueRank": row.rank or "-1"}
        attributes |= {"AccessLevel": "1"}
    elif row.value_type == "abstract":
        attributes["IsAbstract"] = "true"
    told = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    body = f"<DisplayName>{row.plain_name}</DisplayName><References>{_references(row)}</References>"
    return f"<UA{row.node_class} {told}>{body}{_content(row)}</UA{row.node_class}>"


def _references(row: NodeRow) -> str:
    found = [_reference(row.reference, row.parent or row.type, is_forward=False)]
    if row.parent and row.type:
        found.append(_reference("HasTypeDefinition", row.type))
    if row.rule:
        found.append(_reference("HasModellingRule", _RULES[row.rule]))
    found += [
        _reference("HasEncoding", one.number)
        for one in children(row.number)
        if one.reference == "HasEncoding"
    ]
    for name, targets in row.more.items():
        if name in _BASE_TYPES:
            found += [_reference(name, target) for target in targets.split("+")]
    return "".join(found)


def _reference(kind: str, target: str, is_forward: bool = True) -> str:
    direction = "" if is_forward else ' IsForward="false"'
    told = f'<Reference ReferenceType="{_BASE_TYPES[kind]}"{direction}>'
    return f"{told}{_id(target)}</Reference>"


def _content(row: NodeRow) -> str:
    if row.node_class == "DataType":
        return _definition(row)
    if "value" in row.more:
        return f"<Value><t:UInt32>{row.more['value']}</t:UInt32></Value>"
    return ""


def _definition(row: NodeRow) -> str:
    """A structure's definition has its inherited fields too: each is encoded as its own type."""
    name = quoteattr(row.name)
    if row.type == _ENUMERATION:
        values = (one.split("=") for one in row.more["fields"].split(","))
        told = "".join(f'<Field Name="{field}" Value="{value}"/>' for field, value in values)
        return f"<Definition Name={name}>{told}</Definition>"
    told = "".join(
        f'<Field Name="{field.name}" DataType="{_id(field.data_type)}"'
        f"{' IsOptional=' + quoteattr('true') if field.is_optional else ''}"
        f"{' ValueRank=' + quoteattr('1') if field.is_array else ''}/>"
        for field in all_fields(row)
    )
    return f"<Definition Name={name}>{told}</Definition>" if told else ""
