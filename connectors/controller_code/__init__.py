"""Ready code for the controller's side: its node set, and a function block that speaks to Andon."""

from connectors.controller_code.blocks import siemens_scl, structured_text
from connectors.controller_code.node_set_xml import node_set_xml

__all__ = ["node_set_xml", "siemens_scl", "structured_text"]
