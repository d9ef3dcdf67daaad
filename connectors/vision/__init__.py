"""An OPC UA server for Machine Vision (OPC 40100-1) over the gateway's core.

A client starts jobs where a line controller would give triggers; what is decided comes as events.
"""
