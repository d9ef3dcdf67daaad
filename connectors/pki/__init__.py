"""Certificates of OPC UA applications: made, kept in a folder, and judged."""
