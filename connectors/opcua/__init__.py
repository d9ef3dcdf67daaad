"""The line controller over OPC UA."""
