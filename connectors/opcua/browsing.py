"""Walks a controller's address space and reads what its variables are. Nothing is written."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import Client, ua

from connectors.opcua.candidates import NamedVariable, Proposal, likely, propose
from connectors.opcua.node_set import built_in, in_parts, read_in_parts
from connectors.opcua.secured import reached
from connectors.settings import GatewaySettings
from connectors.signal_map import NodeAddress

_AT_ONCE: Final = 100
"""Nodes of one Browse; a server that takes fewer gets them in halves."""
_DEPTH: Final = 12
"""Levels below Objects: a structure in a data block of a device is at the fifth or sixth."""
_CLASSES: Final = ua.NodeClass.Object | ua.NodeClass.Variable
_WRITE: Final = 1 << ua.AccessLevel.CurrentWrite


@dataclass(frozen=True)
class Browsed:
    """What a server has, and which of it the signals may be."""

    proposal: Proposal
    variables: int
    """Variables that were seen."""
    is_whole: bool
    """False where the walk ended at its limit."""


async def browse(
    settings: GatewaySettings, limit: int, say: Callable[[int], None] = lambda _: None
) -> Browsed:
    """Look through at most ``limit`` nodes for candidates of each signal.

    Args:
        settings: the server's address and security; the signal map is not used.
        limit: nodes to look at.
        say: told how many nodes have been seen.

    Raises:
        CertificateError: the server's certificate is not trusted, or the gateway has none.
        LinkError: nobody answers, the connection broke, or the server refuses the gateway's
            certificate, its user or the policy.
    """
    async with reached(settings, "Andon browse") as client:
        uris = await client.get_namespace_array()
        walk = _Walk(client, uris, settings.plc_timeout_s * 4, limit)
        await walk.run(say)
        named = likely(walk.found)
        known = await _with_types(client, uris, named)
    return Browsed(propose(known), len(walk.found), walk.is_whole)


class _Walk:
    """Breadth first from the folder Objects, each node once, without the server's own."""

    def __init__(self, client: Client, uris: Sequence[str], timeout_s: float, limit: int) -> None:
        self._client = client
        self._uris = uris
        self._timeout_s = timeout_s
        self._limit = limit
        self._seen = {ua.NodeId(ua.ObjectIds.ObjectsFolder), ua.NodeId(ua.ObjectIds.Server)}
        self.found: list[NamedVariable] = []
        self.is_whole = True

    async def run(self, say: Callable[[int], None]) -> None:
        level = [(ua.NodeId(ua.ObjectIds.ObjectsFolder), "")]
        for _ in range(_DEPTH):
            below: list[tuple[ua.NodeId, str]] = []
            for start in range(0, len(level), _AT_ONCE):
                below += await self._below(level[start : start + _AT_ONCE])
                say(len(self._seen))
                if not self.is_whole:
                    return
            level = below
        self.is_whole = not level

    async def _below(self, parents: Sequence[tuple[ua.NodeId, str]]) -> list[tuple[ua.NodeId, str]]:
        async with asyncio.timeout(self._timeout_s):
            results = await in_parts(self._browsed, [node for node, _ in parents])
        below: list[tuple[ua.NodeId, str]] = []
        for (_, path), references in zip(parents, results, strict=True):
            for one in references:
                if one.NodeId in self._seen or one.NodeId.NamespaceIndex >= len(self._uris):
                    continue
                if len(self._seen) >= self._limit:
                    self.is_whole = False
                    return below
                self._seen.add(one.NodeId)
                name = str(one.BrowseName.Name or "")
                below.append((one.NodeId, f"{path}/{name}"))
                if one.NodeClass is ua.NodeClass.Variable:
                    self._take(one.NodeId, path, name)
        return below

    def _take(self, node: ua.NodeId, path: str, name: str) -> None:
        index = node.NamespaceIndex
        uri = self._uris[index] if index else ""
        self.found.append(NamedVariable(NodeAddress(node.Identifier, uri, 0), path, name))

    async def _browsed(self, nodes: Sequence[ua.NodeId]) -> list[list[ua.ReferenceDescription]]:
        parameters = ua.BrowseParameters()
        parameters.NodesToBrowse = [_children_of(node) for node in nodes]
        results = await self._client.uaclient.browse(parameters)
        return [await self._whole(result) for result in results]

    async def _whole(self, result: ua.BrowseResult) -> list[ua.ReferenceDescription]:
        """All references of one node: a server may hand them out in parts."""
        found = list(result.References or ())
        while result.ContinuationPoint and len(found) < self._limit:
            more = ua.BrowseNextParameters()
            more.ReleaseContinuationPoints = False
            more.ContinuationPoints = [result.ContinuationPoint]
            (result,) = await self._client.uaclient.browse_next(more)
            found += result.References or ()
        return found


def _children_of(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(_CLASSES),
        ResultMask=ua.UInt32(ua.BrowseResultMask.All),
    )


async def _with_types(
    client: Client, uris: Sequence[str], variables: Sequence[NamedVariable]
) -> list[NamedVariable]:
    """The variables with their declared types, and whether they may be written."""
    ids = [
        ua.NodeId(one.node.identifier, uris.index(one.node.uri) if one.node.uri else 0)
        for one in variables
    ]
    types = await read_in_parts(client, ids, ua.AttributeIds.DataType)
    levels = await read_in_parts(client, ids, ua.AttributeIds.UserAccessLevel)
    return [
        one.known_as(built_in(kind), _is_writable(level))
        for one, kind, level in zip(variables, types, levels, strict=True)
    ]


def _is_writable(level: ua.DataValue) -> bool:
    value = level.Value.Value if level.Value is not None else None
    return value is None or bool(int(value) & _WRITE)
