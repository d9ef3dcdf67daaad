"""The edge of a line: gateway, handshake, OPC UA, cameras and the feed of decisions."""
