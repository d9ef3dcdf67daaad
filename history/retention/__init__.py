"""Retention: how long which pictures are kept, and a serial number that is forgotten."""
