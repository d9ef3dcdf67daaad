"""A simulated line controller: an OPC UA server that plays a plan and keeps a ledger."""
