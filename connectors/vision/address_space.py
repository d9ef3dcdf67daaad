"""The vision system's nodes in an OPC UA server: types from the table, one instance of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from asyncua import Node, Server, ua
from asyncua.ua import uatypes

from connectors.vision.arguments import refusal
from connectors.vision.node_table import (
    NAMESPACE,
    NodeRow,
    Typed,
    child,
    children,
    node_set_xml,
    nodes,
    number_of,
)

OWN_NAMESPACE: Final = "urn:andon:vision"
"""Of the instance's nodes, whose identifiers are their browse paths."""
MACHINES: Final = ("VisionStateMachine", "VisionStateMachine.AutomaticModeStateMachine")
_TRIMMED_STRING: Final = 3017
_STATE_VARIABLES: Final = {
    "CurrentState": ua.ObjectIds.FiniteStateVariableType,
    "LastTransition": ua.ObjectIds.FiniteTransitionVariableType,
}


class VisionMethod(Protocol):
    """What a method does: its output, or the status of a call that it refuses."""

    async def __call__(
        self, parent: ua.NodeId, *given: ua.Variant
    ) -> list[ua.Variant] | ua.StatusCode: ...


def know_trimmed_string(index: int) -> None:
    """Tell asyncua the standard's TrimmedString; it takes every type of the name for its own.

    Servers and clients need it before they load structures with such fields.

    Args:
        index: of the namespace of OPC 40100-1 at this server.
    """
    uatypes.basetype_by_datatype[ua.NodeId(_TRIMMED_STRING, index)] = "TrimmedString"


@dataclass
class AddressSpace:
    """Where the nodes of one vision system are."""

    server: Server
    types: int
    """Index of the standard's namespace."""
    own: int
    """Index of the instance's namespace."""
    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    """By path below the system; the system itself by an empty one."""

    def type_id(self, number: str) -> ua.NodeId:
        """The node id of a number of the table."""
        if number.startswith("i="):
            return ua.NodeId(int(number[2:]))
        return ua.NodeId(int(number), self.types)

    def event_type(self, name: str) -> ua.NodeId:
        """The node id of an event type."""
        return self.type_id(number_of(name))

    def link(self, methods: Mapping[str, VisionMethod]) -> None:
        """Give the methods their behaviour, by their path below the system."""
        for path, method in methods.items():
            _link(self, path, method)

    async def write(self, path: str, value: ua.DataValue | ua.Variant) -> None:
        """Set a variable's value."""
        told = value if isinstance(value, ua.DataValue) else ua.DataValue(value)
        await self.server.write_attribute_value(self.nodes[path].nodeid, told)


async def build(server: Server, name: str) -> AddressSpace:
    """Add the standard's types and one vision system below Objects.

    Args:
        server: initialised and not yet listening.
        name: of the vision system.
    """
    types = await server.register_namespace(NAMESPACE)
    own = await server.register_namespace(OWN_NAMESPACE)
    know_trimmed_string(types)
    await server.import_xml(xmlstring=node_set_xml())
    await server.load_data_type_definitions()
    space = AddressSpace(server, types, own, name)
    await _describe_arguments(space)
    system = await _add(space, server.nodes.objects, "", nodes()[number_of("VisionSystemType")])
    await system.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
    await server.nodes.server.add_reference(system, ua.ObjectIds.HasNotifier)
    return space


async def _describe_arguments(space: AddressSpace) -> None:
    """What the types' methods take and return."""
    for row in nodes().values():
        if row.arguments:
            value = ua.DataValue(_arguments(space, row.arguments))
            await space.server.write_attribute_value(space.type_id(row.number), value)


def _arguments(space: AddressSpace, typed: Sequence[Typed]) -> ua.Variant:
    found = []
    for one in typed:
        argument = ua.Argument()
        argument.Name, argument.DataType = one.name, space.type_id(one.data_type)
        argument.ValueRank = 1 if one.is_array else -1
        argument.ArrayDimensions = [0] if one.is_array else []
        found.append(argument)
    return ua.Variant(found, ua.VariantType.ExtensionObject)


async def _add(space: AddressSpace, parent: Node, path: str, row: NodeRow) -> Node:
    """One object and what is below it, as its type declares."""
    type_row = row if row.node_class == "ObjectType" else nodes().get(row.type)
    name = row.plain_name if path else space.name
    node_id = ua.NodeId(f"{space.name}.{path}" if path else space.name, space.own)
    index = space.types if path else space.own
    type_id = space.type_id(type_row.number if type_row else row.type)
    made = await _add_object(
        space, parent, node_id, ua.QualifiedName(name, index), type_id, is_root=not path
    )
    space.nodes[path] = made
    for one in children(type_row.number if type_row else row.number):
        below = f"{path}.{one.plain_name}" if path else one.plain_name
        await _add_child(space, made, below, one)
    if path in MACHINES:
        await _add_state_variables(space, made, path)
    return made


async def _add_object(
    space: AddressSpace,
    parent: Node,
    node_id: ua.NodeId,
    name: ua.QualifiedName,
    type_id: ua.NodeId,
    is_root: bool,
) -> Node:
    """An object alone; asyncua's own way also makes what its type declares, all of it."""
    attributes = ua.ObjectAttributes()
    attributes.DisplayName = ua.LocalizedText(name.Name)
    attributes.EventNotifier = 0
    kind = ua.ObjectIds.Organizes if is_root else ua.ObjectIds.HasComponent
    asked = ua.AddNodesItem()
    asked.RequestedNewNodeId, asked.BrowseName = node_id, name
    asked.ParentNodeId, asked.ReferenceTypeId = parent.nodeid, ua.NodeId(kind)
    asked.NodeClass, asked.TypeDefinition = ua.NodeClass.Object, type_id
    asked.NodeAttributes = attributes
    (added,) = await space.server.iserver.isession.add_nodes([asked])
    added.StatusCode.check()
    return space.server.get_node(added.AddedNodeId)


async def _add_child(space: AddressSpace, parent: Node, path: str, row: NodeRow) -> None:
    """States and transitions stay with the type, as OPC 10000-5 has it for instances."""
    if row.node_class == "Object" and row.rule:
        await _add(space, parent, path, row)
    elif row.node_class == "Variable":
        node_id, name = _own_id(space, path), ua.QualifiedName(row.plain_name, space.types)
        first = ua.Variant(None, ua.VariantType.ExtensionObject)
        made = await parent.add_variable(
            node_id, name, first, datatype=space.type_id(row.value_type)
        )
        space.nodes[path] = made
    elif row.node_class == "Method":
        await _add_method(space, parent, path, row)


def _own_id(space: AddressSpace, path: str) -> ua.NodeId:
    return ua.NodeId(f"{space.name}.{path}", space.own)


async def _add_method(space: AddressSpace, parent: Node, path: str, row: NodeRow) -> None:
    """A method without behaviour; ``_link`` gives it one."""
    told = {one.name: one.arguments for one in children(row.number)}
    described = [
        list(_arguments(space, told.get(name, [])).Value)
        for name in ("InputArguments", "OutputArguments")
    ]
    name = ua.QualifiedName(row.plain_name, space.types)
    made = await parent.add_method(_own_id(space, path), name, _not_linked, *described)
    space.nodes[path] = made


async def _not_linked(*_: object) -> ua.StatusCode:
    return ua.StatusCode(ua.StatusCodes.BadNotImplemented)


async def _add_state_variables(space: AddressSpace, parent: Node, path: str) -> None:
    """CurrentState and LastTransition, each with its node id and number."""
    for name, kind in _STATE_VARIABLES.items():
        below = f"{path}.{name}"
        text = ua.Variant(ua.LocalizedText(""), ua.VariantType.LocalizedText)
        made = await parent.add_variable(_own_id(space, below), ua.QualifiedName(name, 0), text)
        await made.delete_reference(
            ua.ObjectIds.BaseDataVariableType, ua.ObjectIds.HasTypeDefinition
        )
        await made.add_reference(ua.NodeId(kind), ua.ObjectIds.HasTypeDefinition)
        space.nodes[below] = made
        for part, variant in (
            ("Id", ua.Variant(ua.NodeId(), ua.VariantType.NodeId)),
            ("Number", ua.Variant(0, ua.VariantType.UInt32)),
        ):
            space.nodes[f"{below}.{part}"] = await made.add_property(
                _own_id(space, f"{below}.{part}"), ua.QualifiedName(part, 0), variant
            )


def _link(space: AddressSpace, path: str, method: VisionMethod) -> None:
    """A client may name the method of the instance, or the one of its type."""
    owner, _, name = path.rpartition(".")
    type_name = {
        "VisionStateMachine": "VisionStateMachineType",
        "VisionStateMachine.AutomaticModeStateMachine": "VisionAutomaticModeStateMachineType",
    }.get(owner, f"{owner}Type")
    row = child(number_of(type_name), name)
    told = {one.name: one.arguments for one in children(row.number)}

    async def called(parent: ua.NodeId, *given: ua.Variant) -> list[ua.Variant] | ua.StatusCode:
        refused = refusal(told.get("InputArguments", []), given)
        return refused or await method(parent, *given)

    for node in (space.nodes[path], space.server.get_node(space.type_id(row.number))):
        space.server.link_method(node, called)
