"""The node set of the signals as NodeSet2 XML, which OPC UA servers and their tools import."""

from typing import Final
from xml.etree import ElementTree

from connectors.handshake.signals import Owner, Signal
from connectors.signal_map import NAMESPACE

_SCHEMA: Final = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
_READ, _READ_AND_WRITE = "1", "3"


def node_set_xml(namespace: str = NAMESPACE, prefix: str = "Andon") -> str:
    """One object with a variable for each signal: ``s=<prefix>.<Signal>`` in ``namespace``."""
    root = ElementTree.Element("UANodeSet", {"xmlns": _SCHEMA})
    ElementTree.SubElement(ElementTree.SubElement(root, "NamespaceUris"), "Uri").text = namespace
    aliases = ElementTree.SubElement(root, "Aliases")
    for name, node in _ALIASES.items():
        ElementTree.SubElement(aliases, "Alias", {"Alias": name}).text = node
    folder = f"ns=1;s={prefix}"
    _node(root, "UAObject", folder, prefix, {}, ("Organizes", "i=85", "i=58"), "Andon's signals")
    for signal in Signal:
        rights = _READ_AND_WRITE if signal.owner is Owner.GATEWAY else _READ
        attributes = {
            "DataType": signal.data_type,
            "AccessLevel": rights,
            "UserAccessLevel": rights,
            "ParentNodeId": folder,
        }
        where = ("HasComponent", folder, "i=63")
        name = signal.wire_name
        _node(root, "UAVariable", f"{folder}.{name}", name, attributes, where, signal.meaning)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _node(
    root: ElementTree.Element,
    kind: str,
    node_id: str,
    name: str,
    attributes: dict[str, str],
    where: tuple[str, str, str],
    about: str,
) -> None:
    named = {"NodeId": node_id, "BrowseName": f"1:{name}", **attributes}
    node = ElementTree.SubElement(root, kind, named)
    ElementTree.SubElement(node, "DisplayName").text = name
    ElementTree.SubElement(node, "Description").text = about
    references = ElementTree.SubElement(node, "References")
    reference, parent, definition = where
    back = {"ReferenceType": reference, "IsForward": "false"}
    ElementTree.SubElement(references, "Reference", back).text = parent
    kind_of = {"ReferenceType": "HasTypeDefinition"}
    ElementTree.SubElement(references, "Reference", kind_of).text = definition


_ALIASES: Final = {
    "Boolean": "i=1",
    "UInt16": "i=5",
    "Int32": "i=6",
    "UInt32": "i=7",
    "Float": "i=10",
    "String": "i=12",
    "DateTime": "i=13",
    "Organizes": "i=35",
    "HasTypeDefinition": "i=40",
    "HasComponent": "i=47",
}
